// From the elements of the file to frames (docs/lifeboat.md, "Pieces"). As node/lifeboat/form.py and reading.py.
// Whatever is wrong with a piece, what can be read of it is read: each record in it is judged for itself.

const MAX_PIECES = 512;
const MAX_PIECE_BYTES = 2_097_152;
const MAX_GROWTH = 16; // and no piece more than so many times its zipped bytes
const MAX_CONTENTS_TEXT = 1_400_000; // 1 MiB in base64
const MAX_FRAME_BYTES = 270_336; // a chunk of a blob, 256 KiB, and what stands around it
const CHUNK_BYTES = 262_144;
const STEP_BYTES = 1_024;
const ABSENT = ["unknown", "withheld", "deleted", "malformed"];
const CONTENTS = [
  "version", "network", "account", "made", "maker", "media", "pieces", "operations", "logs", "records", "bodies", "blobs", "blocks", "extras",
];
const RECORD_FRAMES = ["operation", "record", "beside"];

// The list of contents; throws Malformed.
function parseContents(bytes) {
  const fields = map(decode(bytes, FRAME));
  if (fields.size !== CONTENTS.length || !CONTENTS.every((name) => fields.has(name))) throw new Malformed("a list of contents with other fields");
  if (fields.get("version") !== 1) throw new Malformed("a lifeboat of another version");
  const contents = {
    network: text(fields.get("network"), 32),
    account: entryLink(fields.get("account")),
    made: whole(fields.get("made"), 0),
    maker: text(fields.get("maker"), 64),
    media: text(fields.get("media"), 8), // which of the pictures its maker put in
    pieces: items(fields, "pieces", MAX_PIECES, (piece) => {
      const [digest, frames] = pair(piece);
      return { digest: hexOf(octets(digest, 32)), frames: whole(frames, 1) };
    }),
    operations: items(fields, "operations", 1_000, entryLink),
    logs: items(fields, "logs", 1_000, logOf),
    blobs: items(fields, "blobs", 20_000, anyLink),
  };
  for (const name of ["records", "bodies", "blocks", "extras"]) contents[name] = whole(fields.get(name), 0);
  if (!["none", "90d", "all"].includes(contents.media)) throw new Malformed("a choice of pictures nobody can make");
  if (!/^[a-z0-9-]{1,32}$/.test(contents.network)) throw new Malformed("a network is 1 to 32 of a-z 0-9 -");
  return contents;
}

function logOf(value) {
  const fields = map(value);
  const log = {
    key: hexOf(octets(fields.get("key"), 32)),
    head: entryLink(fields.get("head")),
    runs: items(fields, "runs", 20_000, (run) => pair(run).map((seq) => whole(seq, 0))),
    beside: whole(fields.get("beside"), 0),
  };
  let below = -2;
  for (const [low, high] of log.runs) {
    if (low > high || low <= less(below, -1)) throw new Malformed("runs of a log are not in order");
    below = high;
  }
  if (!log.runs.length) throw new Malformed("a log without entries");
  return log;
}

function pair(value) {
  if (!Array.isArray(value) || value.length !== 2) throw new Malformed("not a pair");
  return value;
}

function octets(value, length) {
  if (!(value instanceof Uint8Array) || value.length !== length) throw new Malformed(`not ${length} bytes`);
  return value;
}

// What a piece unpacks to, as far as that goes, and whether it went to its end. A browser gives nothing of the step in
// which it finds the data bad, so such a piece is unpacked again in small steps.
async function unpack(packed) {
  const whole = await unpackBy(packed, packed.length || 1);
  return whole.isWhole ? whole : unpackBy(packed, STEP_BYTES);
}

async function unpackBy(packed, step) {
  const limit = Math.min(MAX_PIECE_BYTES, MAX_GROWTH * packed.length);
  const parts = [];
  let size = 0;
  const stream = new DecompressionStream("gzip");
  const writer = stream.writable.getWriter();
  const reader = stream.readable.getReader();
  const feed = async () => {
    for (let at = 0; at < packed.length; at += step) await writer.write(packed.subarray(at, at + step));
    await writer.close();
  };
  const fed = feed().catch(() => {}); // what is wrong is said to the reader too
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return { bytes: joined(...parts), isWhole: true };
      parts.push(value);
      size += value.length;
      if (size > limit) {
        await reader.cancel();
        return { bytes: joined(...parts).subarray(0, limit), isWhole: false };
      }
    }
  } catch {
    return { bytes: joined(...parts), isWhole: false };
  } finally {
    await fed;
  }
}

// Each frame of a piece: what it says, or null for one that says nothing we know. A length that cannot be ends it.
function* framesOf(bytes) {
  let at = 0;
  while (at < bytes.length) {
    const size = at + 4 <= bytes.length ? new DataView(bytes.buffer, bytes.byteOffset + at, 4).getUint32(0) : 0;
    if (!size || size > MAX_FRAME_BYTES || at + 4 + size > bytes.length) {
      yield { isEnd: true };
      return;
    }
    const data = bytes.subarray(at + 4, at + 4 + size);
    at += 4 + size;
    try {
      yield frameOf(decode(data, { bytes: MAX_FRAME_BYTES, items: 8 }));
    } catch (problem) {
      if (!(problem instanceof Malformed)) throw problem;
      yield { kind: null };
    }
  }
}

function frameOf(value) {
  if (!Array.isArray(value)) throw new Malformed("a frame is a list");
  const [kind, first, second, reason] = value;
  const areBytes = first instanceof Uint8Array;
  if (kind === "block" && value.length === 2 && areBytes) return { kind, block: first };
  if (kind === "extra" && value.length === 3 && typeof first === "string" && second instanceof Uint8Array) return { kind, type: first, block: second };
  if (RECORD_FRAMES.includes(kind) && areBytes && first.length <= MAX_ENTRY_BYTES) {
    if (value.length === 3 && second instanceof Uint8Array && second.length <= MAX_BODY_BYTES) return { kind, entry: first, body: second };
    if (value.length === 4 && second === null && kind !== "operation" && ABSENT.includes(reason)) return { kind, entry: first, body: null, reason };
  }
  throw new Malformed("a frame of no kind we know");
}
