// Entries: signed, hash-chained headers (docs/protocol.md, 2). As identity/entry.py.

const MAX_ENTRY_BYTES = 1_024;
const MAX_BODY_BYTES = 65_536;
const INCEPTION = "identity.incept";
const REQUIRED = ["account", "key", "seq", "prev", "time", "kind", "body", "size"];

function sha256(bytes) {
  return library.sha256(bytes);
}

function idOf(block) {
  return DAG_CBOR + hexOf(sha256(block));
}

// Header fields with links and keys as hexadecimal, and ``id``, ``account`` and ``block`` beside them.
function parseEntry(block) {
  const pair = decode(block, { bytes: MAX_ENTRY_BYTES, items: BLOCK.items });
  const isPair = Array.isArray(pair) && pair.length === 2 && pair[0] instanceof Map;
  if (!isPair || !(pair[1] instanceof Uint8Array) || pair[1].length !== 64) {
    throw new Malformed("an entry is a pair of a header and a 64-byte signature");
  }
  const entry = parseHeader(pair[0]);
  entry.id = idOf(block);
  entry.account ??= entry.id; // an inception is its own account
  entry.block = block;
  entry.signature = pair[1];
  return entry;
}

function parseHeader(fields) {
  const odd = [...fields.keys()].filter((name) => !REQUIRED.includes(name) && name !== "identity");
  if (odd.length || REQUIRED.some((name) => !fields.has(name))) throw new Malformed("missing or unknown header fields");
  const [account, key, seq, prev, time, kind, body, size] = REQUIRED.map((name) => fields.get(name));
  const hint = fields.get("identity");
  const areLinks = [account, prev].every((link) => link === null || link instanceof Link) && body instanceof Link;
  const isKey = key instanceof Uint8Array && key.length === 32;
  const isHint = !fields.has("identity") || hint instanceof Link;
  if (!areLinks || !isKey || !isHint || ![seq, time, size].every(isInt) || typeof kind !== "string") {
    throw new Malformed("a header field has the wrong type");
  }
  if (seq < 0 || time < 0) throw new Malformed("a number of the header is out of range");
  if (size < 1 || size > MAX_BODY_BYTES) throw new Malformed(`a body has 1 to ${MAX_BODY_BYTES} bytes`);
  if (!/^[a-z0-9.-]{1,64}$/.test(kind)) throw new Malformed("a kind is 1 to 64 of a-z 0-9 . -");
  if ((account === null) !== (kind === INCEPTION)) throw new Malformed("the inception, and nothing else, names no account");
  if ([account, prev, hint, body].some((link) => link && !link.isBlock)) throw new Malformed("a header links to a raw block");
  const isIdentity = kind.startsWith("identity.");
  if (isIdentity) {
    if (hint) throw new Malformed("an identity operation carries no hint of a table");
    if ((prev === null) !== (kind === INCEPTION) || seq !== (prev === null ? 0 : 1)) {
      throw new Malformed("an identity operation is 0 without prev (the inception) or 1 with it");
    }
  } else if ((seq === 0) !== (prev === null)) {
    throw new Malformed("an entry starts its log iff it has no prev");
  }
  return {
    account: account?.hex ?? null, key: hexOf(key), seq, prev: prev?.hex ?? null, time, kind,
    body: body.hex, size, isIdentity, id: null, block: null, signature: null,
  };
}

// What a signature covers: the network and the purpose, and the bytes between head and signature.
function signedMessage(block, network, context = "entry") {
  const domain = utf8.encode(`unhush/1/${network}/${context}\0`);
  const message = new Uint8Array(domain.length + block.length - 67);
  message.set(domain);
  message.set(block.subarray(1, -66), domain.length);
  return message;
}

function isSigned(verifier, entry, network) {
  return verifier.verify(entry.key, signedMessage(entry.block, network), entry.signature);
}

// Whether an authentic entry names another as the one before it in the same log.
function doesVouch(by, entry) {
  return by.prev === entry.id && by.key === entry.key && by.account === entry.account
    && less(by.seq, 1) === entry.seq && !by.isIdentity && !entry.isIdentity;
}

function isBodyOf(entry, body) {
  return body.length === entry.size && idOf(body) === entry.body;
}

function decodeBody(body) {
  const fields = decode(body);
  if (!(fields instanceof Map)) throw new Malformed("a body is a map");
  const salt = fields.get("salt");
  if (!(salt instanceof Uint8Array) || salt.length !== 16) throw new Malformed("a body has a salt of 16 bytes");
  return fields;
}
