// The check: everything in the file against hashes, signatures, chains, the identity rule and the list of contents.
// As node/lifeboat/checking.py, which says the same of the same file. Nothing is shown that did not pass.

const MAX_NAMED = 50; // problems told in words; the count goes on
const SLICE_MS = 14; // so long the page does not answer; a frame at 60 a second takes 16
const AT_ONCE = 4_096; // signatures the browser has to judge at one time

let rested = 0;

async function breathe() {
  if (performance.now() - rested < SLICE_MS) return;
  await (globalThis.scheduler?.yield ? scheduler.yield() : new Promise((resolve) => { setTimeout(resolve); }));
  rested = performance.now();
}

class Check {
  constructor(tell, verifier) {
    this.tell = tell;
    this.verifier = verifier;
    this.problems = [];
    this.count = 0;
    this.records = []; // everything signed, in the order of the file
    this.blocks = new Map(); // digest → bytes
    this.blockFrames = 0;
    this.extras = 0;
    this.statements = [];
    this.faulty = new Set(); // numbers of records with a problem
  }

  wrong(check, said, record = null, id = null) {
    this.count += 1;
    if (record !== null) this.faulty.add(record);
    if (this.problems.length < MAX_NAMED) this.problems.push({ record, id: id && cidText(id), check, text: said });
  }

  readContents(element) {
    const bytes = element && element.text.length <= MAX_CONTENTS_TEXT ? base64Bytes(element.text) : null;
    const isExact = bytes !== null && hexOf(sha256(utf8.encode(element.text))) === element.digest;
    if (!isExact) this.wrong("contents", "the list of what should be in this file is missing or is not as it was written");
    try {
      return bytes && parseContents(bytes);
    } catch (problem) {
      if (!(problem instanceof Malformed)) throw problem;
      if (isExact) this.wrong("contents", `the list of what should be in this file cannot be read: ${problem.message}`);
      return null;
    }
  }

  async readPieces(contents, pieces) {
    const { length } = contents.pieces;
    this.network = contents.network;
    if (pieces.length !== length) this.wrong("piece", `${length} pieces should be here, ${pieces.length} are`);
    for (const [at, piece] of contents.pieces.entries()) {
      const name = `piece ${at + 1} of ${length}`;
      const said = pieces[at] ?? null;
      this.tell("unpacking", at, length);
      if (said === null) {
        this.wrong("piece", `${name} is missing`);
        continue;
      }
      if (await digestOf(utf8.encode(said)) !== piece.digest) this.wrong("piece", `${name} is not as it was written`);
      const packed = base64Bytes(said);
      const unpacked = packed ? await unpack(packed) : { bytes: new Uint8Array(), isWhole: false };
      if (!unpacked.isWhole) this.wrong("piece", `${name} cannot be unpacked to its end`);
      await this.readFrames(unpacked.bytes, piece, name);
    }
  }

  async readFrames(bytes, piece, name) {
    let frames = 0;
    for (const frame of framesOf(bytes)) {
      if (frame.isEnd) {
        this.wrong("piece", `${name} cannot be read after frame ${frames}`);
        break;
      }
      frames += 1;
      if (frame.kind === null) this.wrong("frame", `frame ${frames} of ${name} is not in the one strict form`);
      else if (frame.kind === "block") {
        this.blocks.set(await digestOf(frame.block), frame.block);
        this.blockFrames += 1;
      } else if (frame.kind === "extra") {
        this.extras += 1;
        if (frame.type === "statement") this.statements.push(frame.block.length <= BLOCK.bytes ? frame.block : new Uint8Array());
      } else this.addRecord(frame);
      await breathe();
    }
    if (this.records.length > AT_ONCE) await this.records.at(-AT_ONCE).verdict;
    if (frames !== piece.frames) this.wrong("piece", `${name} should have ${piece.frames} frames and has ${frames}`);
  }

  addRecord(frame) {
    const record = {
      number: this.records.length + 1, kind: frame.kind, hasBody: frame.body !== null, body: null, reason: frame.reason ?? null, entry: null,
      verdict: null, isAuthentic: false, isSignedWrongly: false, hasWrongBody: false, standing: null,
    };
    this.records.push(record);
    try {
      record.entry = parseEntry(frame.entry);
      // Begun here, asked for in ``checkEach``: the browser judges on other cores while we read on.
      record.verdict = isSigned(this.verifier, record.entry, this.network);
      // What cannot be shown is not kept; it is said of it when its turn comes.
      record.hasWrongBody = record.hasBody && !isBodyOf(record.entry, frame.body);
      if (!record.hasWrongBody) record.body = frame.body;
    } catch (problem) {
      if (!(problem instanceof Malformed)) throw problem;
      this.wrong("bytes", `it is no entry: ${problem.message}`, record.number);
    }
  }

  // The parts of a record that need no other: whose it is, whether it is signed, whether its body is its body.
  async checkEach(contents) {
    const all = this.records.filter((record) => record.entry);
    for (const [at, record] of all.entries()) {
      this.checkOne(contents, record, await record.verdict);
      if (at % 64 === 0) this.tell("checking", at, all.length);
      await breathe();
    }
  }

  checkOne(contents, record, isValid) {
    const { entry, number } = record;
    record.isAuthentic = isValid;
    record.isSignedWrongly = !isValid;
    if (entry.account !== contents.account) {
      this.wrong("account", "it is of another account", number, entry.id);
      record.isAuthentic = false;
    }
    if (entry.isIdentity !== (record.kind === "operation")) {
      this.wrong("kind", `a ${entry.kind} stands where none belongs`, number, entry.id);
      record.isAuthentic = false;
    }
    if (record.hasWrongBody) this.wrong("body", "its words are not the ones that were signed", number, entry.id);
  }

  // The operations as a set: which should be here, what they make of the account, which devices may speak.
  async checkIdentity(contents) {
    const found = this.records.filter((record) => record.kind === "operation" && record.entry);
    const known = new Set(found.map((record) => record.entry.id));
    const due = new Set(contents.operations);
    for (const id of due) if (!known.has(id)) this.wrong("identity", "an operation of the account is missing", null, id);
    const parsed = new Map(); // id → operation, or what is wrong with it: its 512 points are judged once
    let inception = null;
    for (const record of found) {
      const { entry, number } = record;
      if (!due.has(entry.id)) this.wrong("identity", "an operation that is not in the list of contents", number, entry.id);
      if (record.isSignedWrongly) this.wrong("signature", "it is not signed by the key it names", number, entry.id);
      if (!record.isAuthentic || record.hasWrongBody) continue;
      try {
        if (entry.kind === "identity.rotate" && (!inception || rawGeneration(decodeBody(record.body), inception.next, entry.key) < 0)) {
          throw new Malformed("it does not follow from the inception");
        }
        if (!parsed.has(entry.id)) parsed.set(entry.id, parsedOperation(entry, record.body));
        const operation = parsed.get(entry.id);
        if (operation instanceof Malformed) throw operation;
        if (entry.kind === INCEPTION) inception = operation;
      } catch (problem) {
        if (!(problem instanceof Malformed)) throw problem;
        this.wrong("operation", problem.message, number, entry.id);
      }
      await breathe();
    }
    const trunk = findTrunk(contents.account, [...parsed.values()].filter((operation) => !(operation instanceof Malformed)));
    if (!trunk) this.wrong("identity", "the inception of the account is not here, so nothing can be judged");
    return trunk ? fold(trunk) : null;
  }

  async checkLogs(contents, state) {
    const logs = new Map(contents.logs.map((log) => [log.key, { ...log, slots: new Map(), besides: [], ids: new Set() }]));
    let before = null;
    let bodies = 0;
    for (const record of this.records) {
      if (record.hasBody && record.kind !== "operation") bodies += 1;
      if (record.kind === "operation" || !record.entry) continue;
      this.place(logs, record, before);
      before = record;
      await breathe();
    }
    for (const log of logs.values()) {
      await this.checkChain(log);
      await this.judgeLog(log, state);
    }
    const held = this.records.length;
    if (held !== contents.records) this.wrong("count", `${contents.records} records should be here, ${held} are`);
    if (bodies !== contents.bodies) this.wrong("count", `${contents.bodies} bodies should be here, ${bodies} are`);
    return logs;
  }

  place(logs, record, before) {
    const { entry, number, kind } = record;
    const log = logs.get(entry.key);
    if (!log) return this.wrong("count", "it is of a log that is not in the list of contents", number, entry.id);
    if (kind === "beside") {
      log.besides.push(record);
      return log.ids.add(entry.id);
    }
    if (before?.entry.key === entry.key && before.kind === "record" && before.entry.seq >= entry.seq) {
      this.wrong("order", `entry ${entry.seq} of its log stands after entry ${before.entry.seq}`, number, entry.id);
    }
    if (log.slots.has(entry.seq)) return this.wrong("order", `entry ${entry.seq} of its log stands here twice`, number, entry.id);
    log.slots.set(entry.seq, record);
    return log.ids.add(entry.id);
  }

  // From the newest down: each is signed by its key, or named by an authentic one above; each names the one below.
  async checkChain(log) {
    const seqs = [...log.slots.keys()].sort(bySize);
    let above = null;
    for (const seq of seqs.toReversed()) {
      const record = log.slots.get(seq);
      const { entry, number } = record;
      const isNext = above && less(above.entry.seq, 1) === seq;
      const isVouched = isNext && above.isAuthentic && doesVouch(above.entry, entry);
      if (record.isSignedWrongly && !isVouched) this.wrong("signature", "it is not signed by the key it names", number, entry.id);
      record.isAuthentic ||= record.isSignedWrongly && isVouched;
      if (isNext && above.entry.prev !== entry.id) {
        this.wrong("chain", `entry ${above.entry.seq} of its log names another one before it`, number, entry.id);
      }
      above = record;
      await breathe();
    }
    await this.checkBeside(log);
    await this.checkRuns(log, seqs);
  }

  // As in the chain, from the newest down; who names an entry is looked up: a flood of them costs its length.
  async checkBeside(log) {
    const vouching = new Map();
    const note = ({ isAuthentic, entry }) => {
      if (isAuthentic && entry.prev) vouching.set(`${entry.prev} ${entry.account} ${less(entry.seq, 1)}`, entry);
    };
    for (const record of log.slots.values()) {
      note(record);
      await breathe();
    }
    for (const record of log.besides.toSorted((one, other) => bySize(other.entry.seq, one.entry.seq))) {
      const { entry, number } = record;
      const by = vouching.get(`${entry.id} ${entry.account} ${entry.seq}`);
      if (record.isSignedWrongly) {
        if (by && doesVouch(by, entry)) record.isAuthentic = true;
        else this.wrong("signature", "it is not signed by the key it names", number, entry.id);
      }
      note(record);
      await breathe();
    }
  }

  async checkRuns(log, seqs) {
    const name = `the log of device k${base32Of(bytesOf(log.key)).slice(0, 7)}…`;
    if (log.besides.length !== log.beside) this.wrong("count", `${name} should have ${log.beside} entries beside it and has ${log.besides.length}`);
    const held = runsOf(seqs);
    for (const [low, high] of lacking(log.runs, held)) {
      const next = log.slots.get(less(high, -1));
      const said = low === high ? `entry ${low} of ${name} is missing` : `entries ${low} to ${high} of ${name} are missing`;
      this.wrong("missing", said, null, low === high && next?.entry.prev ? next.entry.prev : null);
      await breathe();
    }
    for (const [low, high] of lacking(held, log.runs)) {
      this.wrong("count", `entries ${low} to ${high} of ${name} are not in the list of contents`);
      await breathe();
    }
    const newest = log.slots.get(log.runs.at(-1)[1]);
    if (newest && newest.entry.id !== log.head) {
      this.wrong("head", "it is not the newest entry that the list of contents names", newest.number, newest.entry.id);
    }
  }

  async judgeLog(log, state) {
    const entries = [...log.slots.values(), ...log.besides].filter((record) => record.isAuthentic);
    const verdicts = state ? judge(state.cuts.get(log.key) ?? NOTHING, entries.map((record) => record.entry)) : new Map();
    for (const record of entries) {
      await breathe();
      record.standing = verdicts.get(record.entry.id) ?? "void";
      if (!state || record.standing === "in force" || record.standing === "contested") continue;
      const why = state.cuts.has(log.key) ? "the account cut its device off before it" : "the account does not list its device";
      this.wrong("standing", record.standing === "unproven" ? "what proves that it is in force is missing" : why, record.number, record.entry.id);
    }
  }

  // Statements: each is signed by its key; and what a device of the account signed to be newest is here.
  async checkStatements(contents, state, logs) {
    for (const block of this.statements) {
      const fields = await readStatement(this.verifier, block, contents.network);
      if (!fields) this.wrong("statement", "a signed statement does not hold");
      else if (fields.get("type") === "heads" && fields.get("account").hex === contents.account && state) this.checkHeads(fields, state, logs);
      await breathe();
    }
  }

  checkHeads(fields, state, logs) {
    const by = state.cuts.get(hexOf(fields.get("key")));
    const told = fields.get("heads");
    if (!by || !isOpen(by) || !Array.isArray(told)) return;
    for (const head of told) {
      const [key, seq, entry] = Array.isArray(head) && head.length === 3 ? head : [];
      if (!(key instanceof Uint8Array) || key.length !== 32 || !isInt(seq) || !(entry instanceof Link)) continue;
      const log = logs.get(hexOf(key));
      if ((state.cuts.get(hexOf(key)) ?? NOTHING)[0] < seq) continue; // the account let go of it since
      if (!log?.ids.has(entry.hex)) {
        this.wrong("head", `entry ${seq} of device k${base32Of(key).slice(0, 7)}… is missing, which a device of the account tells of`, null, entry.hex);
      }
    }
  }

  // Every blob of the list, whole; the blocks it is made of, by its id.
  async checkBlobs(contents) {
    const whole = new Map();
    for (const id of new Set(contents.blobs)) {
      const parts = this.partsOf(new Link(id));
      if (parts) whole.set(id, parts);
      else this.wrong("blob", "a picture is missing or is not the one that was signed", null, id);
      await breathe();
    }
    if (this.blockFrames !== contents.blocks) this.wrong("count", `${contents.blocks} blocks of pictures should be here, ${this.blockFrames} are`);
    if (this.extras !== contents.extras) this.wrong("count", `${contents.extras} other signed things should be here, ${this.extras} are`);
    return whole;
  }

  partsOf(link) {
    const block = this.blocks.get(link.digest);
    if (!block) return null;
    if (!link.isBlock) return block.length <= CHUNK_BYTES ? [block] : null;
    try {
      const fields = map(decode(block));
      const [size, chunks] = [whole(fields.get("size"), CHUNK_BYTES + 1), items(fields, "chunks", 1_024, anyLink)];
      const parts = chunks.map((chunk) => this.blocks.get(chunk.slice(8)));
      const fits = parts.every((part, at) => part?.length === Math.min(CHUNK_BYTES, Number(size) - at * CHUNK_BYTES));
      const areRaw = chunks.every((chunk) => chunk.startsWith(RAW));
      return fields.size === 2 && fits && areRaw && chunks.length === Math.ceil(Number(size) / CHUNK_BYTES) ? parts : null;
    } catch (problem) {
      if (problem instanceof Malformed) return null;
      throw problem;
    }
  }
}

function parsedOperation(entry, body) {
  try {
    return parseOperation(entry, body);
  } catch (problem) {
    if (problem instanceof Malformed) return problem;
    throw problem;
  }
}

// Numbers of entries, also such as a JavaScript number does not hold.
function bySize(one, other) {
  return one < other ? -1 : one > other ? 1 : 0;
}

// The fields of a statement of any type that is signed by the key it names; null for anything else.
async function readStatement(verifier, block, network) {
  try {
    const value = decode(block);
    const [fields, signature] = Array.isArray(value) && value.length === 2 ? value : [];
    if (!(fields instanceof Map) || typeof fields.get("type") !== "string" || !(fields.get("account") instanceof Link)) return null;
    const key = hexOf(octets(fields.get("key"), 32));
    return (await verifier.verify(key, signedMessage(block, network, "statement"), octets(signature, 64))) ? fields : null;
  } catch (problem) {
    if (problem instanceof Malformed) return null;
    throw problem;
  }
}

async function digestOf(bytes) {
  if (bytes.length < 4_096 || !globalThis.crypto?.subtle) return hexOf(sha256(bytes));
  return hexOf(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}

function runsOf(seqs) {
  const runs = [];
  for (const seq of seqs) {
    if (runs.length && less(seq, 1) === runs.at(-1)[1]) runs.at(-1)[1] = seq;
    else runs.push([seq, seq]);
  }
  return runs;
}

// The parts of ascending runs that lie in none of some others, ascending too; each is looked at once or twice.
function lacking(runs, others) {
  const parts = [];
  let first = 0;
  for (const [low, high] of runs) {
    let from = low;
    for (; first < others.length && others[first][0] <= high; first += 1) {
      const [otherLow, otherHigh] = others[first];
      if (otherLow > from) parts.push([from, less(otherLow, 1)]);
      const behind = less(otherHigh, -1);
      if (behind > from) from = behind;
      if (otherHigh > high) break; // it reaches into the next run
    }
    if (from <= high) parts.push([from, high]);
  }
  return parts;
}

// ``file``: {contents: {text, digest} or null, pieces: [text or null, …]}, as they stand in the page.
// The report, and what passed: the records to show and the pictures.
async function checkFile(file, tell = () => {}) {
  const verifier = await findVerifier();
  const check = new Check(tell, verifier);
  if (!verifier) check.wrong("verifier", "this browser computes wrongly: it fails known signatures");
  const contents = verifier ? check.readContents(file.contents) : null;
  let state = null;
  let blobs = new Map();
  if (contents) {
    await check.readPieces(contents, file.pieces);
    await check.checkEach(contents);
    state = await check.checkIdentity(contents);
    await check.checkStatements(contents, state, await check.checkLogs(contents, state));
    blobs = await check.checkBlobs(contents);
  }
  const passed = check.records.filter((record) => record.isAuthentic && !record.hasWrongBody && !check.faulty.has(record.number));
  const shown = passed.filter((record) => record.kind !== "operation" && (record.standing === "in force" || record.standing === "contested"));
  const report = {
    ok: check.count === 0,
    account: contents && cidText(contents.account),
    words: contents ? wordsOf(contents.account) : [],
    network: contents?.network ?? null,
    made: contents ? Number(contents.made) : null,
    maker: contents?.maker ?? null,
    media: contents?.media ?? null,
    records: contents?.records ?? 0,
    checked: state ? passed.length : 0,
    operations: passed.filter((record) => record.kind === "operation").length,
    blobs: blobs.size,
    generation: state?.generation ?? null,
    closed: state?.closed ?? false,
    alarms: state?.alarms ?? [],
    asOf: passed.reduce((newest, { entry }) => Math.max(newest, Number(entry.time)), 0),
    holes: contents ? holesOf(contents) : 0,
    verifier: verifier?.name ?? "",
    problemCount: check.count,
    problems: check.problems,
  };
  return { report, account: contents?.account ?? null, state, shown: state ? shown : [], blobs };
}

// How many entries below the newest its maker did not have.
function holesOf(contents) {
  let holes = 0;
  for (const { runs } of contents.logs) {
    holes += runs.reduce((left, [low, high]) => left - (Number(high) - Number(low) + 1), Number(runs.at(-1)[1]) + 1);
  }
  return holes;
}

// Eight words for the first 88 bits of the account, to compare by ear. As identity/words.py.
function wordsOf(account) {
  const bits = BigInt("0x" + account.slice(8, 30));
  return Array.from({ length: 8 }, (_, at) => WORDS[Number((bits >> BigInt(11 * (7 - at))) & 2_047n)]);
}
