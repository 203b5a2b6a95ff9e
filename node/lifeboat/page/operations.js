// The bodies of identity operations, as the trunk rule reads them (docs/protocol.md, 3). As identity/operations.py.

const MAX_ROWS = 256;
const MAX_NAME_BYTES = 64;
const GENERATIONS = 256;
const OPEN = [2n ** 63n, ""]; // no end yet
const NOTHING = [-1n, ""]; // not even entry 0
const OPERATION_KINDS = [INCEPTION, "identity.rotate", "identity.add", "identity.revoke", "identity.freeze"];

// A table {id, key, root, next, path, devices, closed} or another operation {id, key, prev, kind, device, name, cut}.
function parseOperation(entry, body) {
  if (!isBodyOf(entry, body)) throw new Malformed("its body is not the one its header names");
  const fields = decodeBody(body);
  if (entry.kind === INCEPTION) return parseTable(entry, fields, []);
  if (entry.kind === "identity.rotate") {
    return parseTable(entry, fields, listOf(fields.get("path"), 1, GENERATIONS).map(keyOf));
  }
  if (entry.prev === null || !OPERATION_KINDS.includes(entry.kind)) throw new Malformed("no identity operation of version 1");
  const op = { isTable: false, id: entry.id, key: entry.key, prev: entry.prev, kind: entry.kind.slice(9), device: null, name: "", cut: NOTHING };
  if (op.kind === "add") {
    const row = deviceOf(fields.get("device"), false);
    return { ...op, device: row.key, name: row.name };
  }
  if (op.kind === "revoke") {
    if (!fields.has("cut")) throw new Malformed("a revoke says where it cuts, or null");
    return { ...op, device: keyOf(fields.get("device")), cut: cutOf(fields.get("cut")) };
  }
  return op;
}

// The generation of a rotate's body before any of its keys is admitted; -1 if it has none. A stranger's rotate may
// name 512 keys, each the price of a multiplication; whoever holds no turn key gets no further than this.
function rawGeneration(fields, nextOfInception, signer) {
  const path = fields.get("path");
  let after = fields.get("next");
  if (!Array.isArray(path) || path.length < 1 || path.length > GENERATIONS) return -1;
  if (![...path, after].every((each) => each instanceof Uint8Array && each.length === 32)) return -1;
  if (hexOf(path.at(-1)) !== signer) return -1;
  for (const turn of path.toReversed()) after = commit(turn, after);
  return hexOf(after) === nextOfInception ? path.length : -1;
}

function commit(turn, after) {
  return sha256(joined(utf8.encode("unhush/1/next\0"), turn, after));
}

function parseTable(entry, fields, path) {
  const devices = listOf(fields.get("devices"), 0, MAX_ROWS).map((row) => deviceOf(row, path.length > 0));
  if (new Set(devices.map((device) => device.key)).size !== devices.length) throw new Malformed("a device is listed twice");
  const root = keyOf(fields.get("root"));
  const next = fields.get("next");
  const closed = path.length && fields.has("closed") ? fields.get("closed") : false;
  if (!(next instanceof Uint8Array) || next.length !== 32) throw new Malformed("next is no 32-byte commitment");
  if (typeof closed !== "boolean") throw new Malformed("closed is no yes or no");
  if (!path.length && root !== entry.key) throw new Malformed("an inception is signed by the root key it names");
  return { isTable: true, id: entry.id, key: entry.key, root, next: hexOf(next), path, devices, closed };
}

function deviceOf(row, mayBeCut) {
  const name = row instanceof Map ? row.get("name") : null;
  if (typeof name !== "string" || utf8.encode(name).length > MAX_NAME_BYTES || (row.has("cut") && !mayBeCut)) {
    throw new Malformed(`a device is a key and a name of at most ${MAX_NAME_BYTES} bytes, cut only in a rotate`);
  }
  return { key: keyOf(row.get("key")), name, cut: row.has("cut") ? cutOf(row.get("cut")) : OPEN };
}

function cutOf(value) {
  if (value === null) return NOTHING;
  const [seq, entry] = value instanceof Map ? [value.get("seq"), value.get("entry")] : [];
  if (!isInt(seq) || seq < 0 || !(entry instanceof Link)) throw new Malformed("a cut is a seq and an entry, or null");
  return [BigInt(seq), entry.hex];
}

function keyOf(value) {
  if (!(value instanceof Uint8Array) || value.length !== 32 || !isAdmissible(hexOf(value))) throw new Malformed("not an admissible key");
  return hexOf(value);
}

function listOf(value, least, most) {
  if (!Array.isArray(value) || value.length < least || value.length > most) throw new Malformed(`not a list of ${least} to ${most} items`);
  return value;
}
