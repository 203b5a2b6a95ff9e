"""The bounds of a sync session, each with its reason.

State is counted in agreed units, not in whatever one implementation's objects
weigh: both sides compute the same sum from the same frames, so an honest
asker never asks more than the other side will remember.
"""

from typing import Final

from unhush.identity.codec import MAX_FRAME_BYTES

PROTOCOL_VERSION: Final = 1

# A peer may read smaller frames than ours, but the largest record and the largest wanted account must fit.
MIN_FRAME_LIMIT_BYTES: Final = 262_144
MAX_FRAME_LIMIT_BYTES: Final = MAX_FRAME_BYTES

# Some 4,000 accounts of one log each beside 14,000 carried: more than a person follows, and a hundred such
# sessions still fit in a small machine. The costs are what Python was measured to take, rounded up.
MAX_STATE_BYTES: Final = 8_388_608
ACCOUNT_COST: Final = 640
LOG_COST: Final = 384
RANGE_COST: Final = 128
OPERATION_COST: Final = 176
TIP_COST: Final = 128
FORK_COST: Final = 192
CARRIED_COST: Final = 144
# How the state a node offers is divided between what the peer carries and what it wants.
CARRIES_SHARE: Final = 4

# PROTOCOL §5. A log held in more pieces is described more coarsely.
MAX_RANGES: Final = 64
# 256 devices may be open at once (§3); replaced ones remain readable.
MAX_LOGS: Final = 1_024
# With 1,024 logs of 64 ranges a single account would burst the 65,536 items of a frame.
MAX_RANGES_PER_ACCOUNT: Final = 8_192
# Forks named in a want. An honest account has none; past this, fork points are sent though the peer knows them.
MAX_FORKS: Final = 64
# What names an entry to somebody who may hold the same one: as much of its digest as a second preimage needs.
TIP_BYTES: Final = 16
# §3 rule 8: at most 390 are stored for an account, and a few wait as orphans.
MAX_OPERATIONS: Final = 512

MAX_AGENT_BYTES: Final = 128
MAX_ERROR_CODE_BYTES: Final = 64
MAX_ERROR_TEXT_BYTES: Final = 512
MAX_REASON_BYTES: Final = 32
MAX_TYPE_BYTES: Final = 64
MAX_ENTRY_BYTES: Final = 1_024
MAX_BODY_BYTES: Final = 65_536

# Long enough for a slow line and a busy node, short enough that idle strangers do not pile up.
HELLO_DEADLINE_S: Final = 15.0

# What one side may have on its way to the other. 4 MiB fill 100 ms at 40 MB/s, which is more than ingest takes.
DEFAULT_WINDOW_BYTES: Final = 4_194_304
# Nobody needs more, and a peer that grants without end must not make counters its own.
MAX_WINDOW_BYTES: Final = 67_108_864
# An `entries` frame, and each run of a `runs` frame, costs at least this much credit, so a window also bounds how many
# there can be (4,096).
MIN_ENTRIES_COST: Final = 1_024
# Nothing is read for sending with less credit: the largest record (66,560 bytes) must fit, and a frame of
# a few crumbs is not worth its overhead. So no window may be smaller than twice this.
MIN_SENDING_CREDIT: Final = 131_072
MIN_WINDOW_BYTES: Final = 2 * MIN_SENDING_CREDIT
# Of a window so much is granted at first, and the rest when something of it is committed: the newest records are
# stored and shown before the flood comes. It is room for what everybody waits for, not for history.
FIRST_CREDIT: Final = 196_608
# Nothing older is read for sending with less. Of the smallest window, 7/8 come back whatever else happens.
HISTORY_CREDIT: Final = 196_608
# Credit goes back when this part of the window has been committed: few frames, and never a dry sender.
CREDIT_SHARE: Final = 8

# One read, one frame: large enough that syscalls do not matter, small enough that others get their turn.
RUN_BYTES: Final = 262_144
# Four data items an entry; 65,536 make a frame.
MAX_RUN_ITEMS: Final = 4_096
# Runs of several logs in one frame: with the smallest of records it is as full as one of a single log.
MAX_RUNS: Final = 256
# Summaries looked up at once: a few milliseconds, between which others get their turn.
SUMMARIES_AT_ONCE: Final = 32
# What a record is taken to need until it is read. Most are half as large; of longer ones the rest is read again. It
# also bounds how many runs are asked for at once.
RECORD_BYTES: Final = 1_024
# Of a log that lies in pieces so many records go in one turn, as they would of one that is whole.
TURN_RECORDS: Final = 64
# Ops are read few at a time: eight of the largest size still fit in one frame.
OPERATIONS_PER_READ: Final = 8

# `want` frames: so many accounts at once, that the first answers come while the rest is still asked.
ACCOUNTS_PER_WANT: Final = 128
WANT_BYTES: Final = 245_760
WANT_ITEMS: Final = 32_768
# Data items of any frame: a full want and what is around it. Of records even a megabyte has fewer. Reading so many
# takes some fifty milliseconds; beyond what a frame of records has, it is not for a loop that others share.
MAX_FRAME_ITEMS: Final = WANT_ITEMS + 256
LONG_FRAME_ITEMS: Final = 8_192
LINKS_PER_FRAME: Final = 2_048

# What may wait for the stream to take it before no more is produced. The rest is remembered as ranges.
MAX_UNWRITTEN_BYTES: Final = 524_288

# Control frames: each costs its bytes and this much, from an allowance that refills over the interval and
# with every byte of entries we sent (credit comes back in proportion). About a hundred a second for ever.
# Who packs a frame with the smallest of items pays for those: each is about a microsecond of reading.
CONTROL_FRAME_COST: Final = 8_192
CONTROL_ITEM_COST: Final = 8
CONTROL_ALLOWANCE: Final = 8_388_608
CONTROL_INTERVAL_S: Final = 10.0
# What is no record and yet larger every peer could refuse; the largest wanted account fits.
MAX_CONTROL_BYTES: Final = MIN_FRAME_LIMIT_BYTES

# What a peer may want, in the units of its state, at once and in the interval. A list of 14,000 accounts that are
# asked for, and again with what came of them, goes at once; then it is some 900 accounts a second, of which each takes
# 40 µs to read and to remember. We ask a little slower, so that clocks that differ cost nothing.
WANTS_ALLOWANCE: Final = 33_554_432
WANTS_SENT_ALLOWANCE: Final = WANTS_ALLOWANCE // 4 * 3
WANTS_INTERVAL_S: Final = 60.0
# Want frames that are not answered. A slow line takes hours for the first, and while it does new ones may be sent
# because somebody is followed; because something changed only until half of them are open.
MAX_WANTS_OPEN: Final = 256
WANTS_OPEN_FOR_CHANGES: Final = MAX_WANTS_OPEN // 2

# Summaries are looked up on the loop, for 0.1 ms and more each. Every account may be looked up when it is wanted
# first, when its operations came, and once again; what goes beyond that and beyond the records that travel waits, and a
# peer that wants the same again and again takes a hundredth of a processor.
SUMMARIES_ALLOWANCE: Final = 2_048
SUMMARIES_INTERVAL_S: Final = 32.0
SUMMARIES_AN_ACCOUNT: Final = 3
MAX_SUMMARIES_ALLOWANCE: Final = 49_152
BYTES_A_SUMMARY: Final = 4_096

# How often others hear that a peer carries other accounts than before: what follows costs some milliseconds. The first
# of a session at once, since what many carry is told in several frames; then once a second.
CARRIAGE_AT_ONCE: Final = 8
CARRIAGE_INTERVAL_S: Final = 8.0

# How often one account may be asked for anew because of a hole: the peer may simply not have it.
REASK_INTERVAL_S: Final = 30.0
# How often because its operations changed: what they brought into force is wanted now, but 390 of them may
# come one by one, and each asking makes the peer look everything up.
REFOLD_INTERVAL_S: Final = 2.0

# Roots a peer may look for and not have been answered, and tables told for each: eight
# inceptions and those that stand. A person restores one; whoever
# signs many inceptions with one root key only hides their own. An answer is one frame that every peer takes.
MAX_FINDS: Final = 4
MAX_FOUND: Final = 16
FOUND_BYTES: Final = RUN_BYTES

# Logs whose branches a session remembers to have passed on. Beyond it the oldest are forgotten, and may go again.
MAX_FORKED_LOGS: Final = 1_024
# Entries that stand at fork points and wait to be sent: one for each log searched.
MAX_PROOFS: Final = 256

# A fork is searched by 64 points at a time: each frame narrows it 63 times, so eight each way find it in any log
# there can be; who goes on has no fork in mind.
POINTS_PER_FRAME: Final = 64
MAX_POINTS_FRAMES: Final = 8
# Logs searched in one session (a peer may make keys up), and frames that wait to be compared. An honest account
# has no fork; a search missed here is made by the next session.
MAX_SEARCHES: Final = 256
MAX_POINTS_WAITING: Final = 32

# So long a want of our account is not said to be answered while our own log is held back. Another device of the
# account may hold back its own from us until we say so: one of the two must speak first.
OWN_CHECK_GRACE_S: Final = 2.0
# A session that has not answered for this long holds no announcement of our own records back any more.
OWN_CHECK_PATIENCE_S: Final = 30.0
# So long, where only strangers answered, announcements wait for a peer that carries our account: what a dial may take.
OWN_CHECK_STRANGERS_S: Final = 10.0

# Reconciling. Below this many accounts on both sides, naming them all costs less than the round trips of comparing.
RECONCILE_FROM: Final = 100
NONCE_BYTES: Final = 16
# Keyed with both nonces: nobody can look for collisions beforehand, chance finds one in 2^64 and in 2^48. Pieces of
# accounts are not keyed; whoever makes two alike has both compared in detail.
FINGERPRINT_BYTES: Final = 8
PIECE_BYTES: Final = 6
# One frame is some milliseconds of hashing at the other end, and 16 kB at most.
RANGES_PER_FRAME: Final = 32
# Accounts in one list: an honest node divides what has more than 32.
MAX_LISTED: Final = 64
# Nibbles. Accounts that share so many would take 2^192 trials to find.
MAX_PREFIX: Final = 48
# Accounts of which a session remembers what it pushed and was given lately, beside those asked for in detail: more
# than one window of entries can name. What is forgotten idle costs a record sent twice at worst.
MAX_LIGHT: Final = 4_608

# Logs a peer may make us remember by sending entries under keys neither side had named; past this we
# remember less of what it sent, and so may send it back.
MAX_STRAY_LOGS: Final = 4_096

# Questions of one side that are not answered (THREATS "Wire": 8 in flight per peer), and those that wait to be asked.
MAX_QUESTIONS: Final = 8
MAX_WAITING_QUESTIONS: Final = 64
# After this a question is given up, asked or still waiting: somebody else may be asked. The answer may still come.
QUESTION_S: Final = 15.0
# Questions that were given up and may be answered still: they take no place from others, so who answers is held to
# this and ``MAX_QUESTIONS`` together. Of whom so many are owed nothing more is asked.
MAX_LATE_QUESTIONS: Final = 8
# Records named in one question, and given in answer to one: the newest of a conversation, and a megabyte of it.
MAX_NEED_IDS: Final = 64
MAX_ANSWERS: Final = 1_000
MAX_CONCERNING: Final = 200
MAX_GIVEN_BYTES: Final = 1_048_576
# Records that need not come, by the starts of their digests: as many as an answer may have.
MAX_HELD: Final = 1_024
# Records looked up for one step of an answer: each costs a signature check, so this is some ten milliseconds.
RECORDS_PER_STEP: Final = 64
STEP_BYTES: Final = 262_144
# Steps are looked up beside the loop, which they still slow, so a peer gets them at this pace: one point is some five
# milliseconds, and a peer that asks without end takes a hundredth of a processor. What goes beyond waits.
STEPS_ALLOWANCE: Final = 120
STEPS_INTERVAL_S: Final = 60.0
# Records in one frame of an answer.
MAX_GIVEN_ITEMS: Final = 64
# Operations that go with the records of one account: all of most accounts; of others the tables and what is said of
# the devices that wrote. With the largest record they fit in every window and every frame.
MAX_GIVEN_OPS: Final = 64
GIVEN_OPS_BYTES: Final = 98_304
# A profile that is longer does not go with the records of its account.
GIVEN_PROFILE_BYTES: Final = 8_192
# An offer, as it travels. People write slower; a longer text is fetched by who opens the conversation.
OFFER_BYTES: Final = 65_536
# Offers taken from one peer: one a second and sixty at once (THREATS "Wire"); ten times as many are no slip.
OFFERS_AT_ONCE: Final = 60
OFFERS_INTERVAL_S: Final = 60.0
OFFERS_PATIENCE: Final = 600
# We offer a little slower, so that clocks that differ cost nothing.
OFFERS_SENT_AT_ONCE: Final = 48
# Of these so many may be own records, told to each peer anew.
OWN_OFFERED: Final = 20
# Records that wait to be offered, or for the peer to carry whom they concern; and those known to be at the peer.
MAX_WAITING_OFFERS: Final = 256
MAX_KNOWN_AT_PEER: Final = 2_048
# Accounts concerned by records that waited for the peer to carry them and were forgotten: so that it is seen when one
# of them comes too late.
MAX_MISSED: Final = 1_024
# How often a peer that carries our account is asked what concerns it.
CONCERNING_INTERVAL_S: Final = 600.0

# Where a node says it listens: a few interfaces, or a relay or two.
MAX_LISTEN: Final = 4
MAX_ADDRESS_BYTES: Final = 256
# Peers told of at once, and how often one may ask: what a node hears in an hour fills a quarter of its address book.
MAX_PEERS_TOLD: Final = 16
PEERS_INTERVAL_S: Final = 60.0
# Clocks and lines are uneven: sooner than this is no accident.
MIN_PEERS_INTERVAL_S: Final = 30.0
