// Runs the checking part of a lifeboat's program in Node.js: the vectors, drawings of accounts, whole files.
//   node core.mjs <task file>
// The task: {core: module, vectors: folder, accounts: [hex], files: {name: path}, contents: [base64]}
// Prints {counts: {file: cases}, wrong: [sentence], drawings: {hex: [sigil, banner, words]}, files: {name: report}, contents: [whether it is read]}
import { readFileSync, writeSync } from "node:fs";
import { pathToFileURL } from "node:url";

const task = JSON.parse(readFileSync(process.argv[2], "utf8"));
const core = await import(pathToFileURL(task.core).href);
const seen = { counts: {}, wrong: [], drawings: {}, files: {} };

const vectors = (name) => JSON.parse(readFileSync(`${task.vectors}/${name}.json`, "utf8"));
const bytesOf = (said) => (Array.isArray(said) ? core.joined(...said.map(([hex, times]) => core.bytesOf(hex.repeat(times)))) : core.bytesOf(said));
function is(name, kase, found, due) {
  seen.counts[name] = (seen.counts[name] ?? 0) + 1;
  if (JSON.stringify(found) !== JSON.stringify(due)) {
    seen.wrong.push(`${name}: ${kase}: ${JSON.stringify(found)?.slice(0, 200)} and not ${JSON.stringify(due)?.slice(0, 200)}`);
  }
}
function refused(run) {
  try {
    run();
    return false;
  } catch (problem) {
    if (!(problem instanceof core.Malformed)) throw problem;
    return true;
  }
}

// The notation of the vectors (tests/vectors/README.md), from a decoded value.
function notation(value) {
  if (core.isInt(value)) return { int: String(value) };
  if (value instanceof Uint8Array) return { bytes: core.hexOf(value) };
  if (value instanceof core.Link) return { link: String(value) };
  if (Array.isArray(value)) return value.map(notation);
  if (value instanceof Map) return { map: [...value].map(([key, item]) => [key, notation(item)]) };
  return value;
}
function unfolded(said) {
  if (Array.isArray(said?.repeat)) return Array(said.repeat[1]).fill(said.repeat[0]);
  return Array.isArray(said?.repeat_text) ? said.repeat_text[0].repeat(said.repeat_text[1]) : said;
}

if (task.vectors) {
  const codec = vectors("codec");
  for (const { name, bytes, value } of codec.accepted) is("codec", name, notation(core.decode(bytesOf(bytes))), unfolded(value));
  for (const { name, bytes } of codec.rejected) is("codec", name, refused(() => core.decode(bytesOf(bytes))), true);

  for (const { name, codec: kind, block, text } of vectors("cids").good) {
    const id = core.idOf(bytesOf(block));
    is("cids", name, core.cidText(kind === "raw" ? `01551220${id.slice(8)}` : id), text);
  }

  const keys = vectors("keys");
  for (const { name, bytes } of keys.admissible) is("keys", name, core.isAdmissible(bytes), true);
  for (const { name, bytes } of keys.inadmissible) is("keys", name, core.isAdmissible(bytes), false);

  const verifiers = [new core.BrowserVerifier(), new core.OwnVerifier()];
  for (const verifier of verifiers) {
    for (const { name, key, message, signature, valid } of vectors("signatures")) {
      const verdict = key.length === 64 && signature.length === 128
        ? await verifier.verify(key, bytesOf(message), bytesOf(signature)) : false;
      is("signatures", `${name} by ${verifier.name}`, verdict, valid);
    }
    is("signatures", `the self-test of ${verifier.name}`, await core.judgesRightly(verifier), true);
  }

  const entries = vectors("entries");
  for (const { name, block, cid, account } of entries.good) {
    const entry = core.parseEntry(bytesOf(block));
    is("entries", name, [core.cidText(entry.id), core.cidText(entry.account)], [cid, account]);
  }
  for (const { name, block } of entries.bad) is("entries", name, refused(() => core.parseEntry(bytesOf(block))), true);
  for (const { name, block, network, valid } of entries.verdicts) {
    const entry = core.parseEntry(bytesOf(block));
    for (const verifier of verifiers) is("entries", name, await core.isSigned(verifier, entry, network), valid);
  }

  for (const { name, by, entry, vouches } of vectors("chains")) {
    is("chains", name, core.doesVouch(core.parseEntry(bytesOf(by)), core.parseEntry(bytesOf(entry))), vouches);
  }

  const operations = vectors("operations");
  const cutText = (cut) => (core.isOpen(cut) ? "open" : cut[0] === -1n ? "nothing" : { seq: Number(cut[0]), entry: core.cidText(cut[1]) });
  for (const { name, block, body, parsed } of operations.good) {
    const operation = core.parseOperation(core.parseEntry(bytesOf(block)), bytesOf(body));
    const found = {};
    for (const field of Object.keys(parsed)) {
      if (field === "devices") found.devices = operation.devices.map((device) => (
        Array.isArray(parsed.devices[0]) ? [device.key, device.name, cutText(device.cut)] : { key: device.key, name: device.name, cut: cutText(device.cut) }));
      else found[field] = field === "cut" ? cutText(operation.cut) : operation[field];
    }
    is("operations", name, sorted(found), sorted(parsed));
  }
  for (const { name, block, body } of operations.bad) {
    is("operations", name, refused(() => core.parseOperation(core.parseEntry(bytesOf(block)), bytesOf(body))), true);
  }

  const trunk = vectors("trunk");
  const hexOfCid = (text) => core.hexOfCid(text);
  const cutOf = (said) => (said === "open" ? core.OPEN : said === "nothing" ? core.NOTHING : [BigInt(said.seq), hexOfCid(said.entry)]);
  const operationOf = (cid) => {
    const { table, devices = [], cut, prev, ...fields } = trunk.operations[cid];
    if (table) return { ...fields, isTable: true, id: hexOfCid(cid), devices: devices.map(([key, end]) => ({ key, name: "", cut: cutOf(end) })) };
    return { device: null, ...fields, isTable: false, id: hexOfCid(cid), prev: hexOfCid(prev), cut: cutOf(cut ?? "nothing") };
  };
  for (const { name, account, operations: named, entries: held, state, standing } of trunk.scenarios) {
    for (const order of [named, named.toReversed(), [...named, ...named]]) {
      const found = core.fold(core.findTrunk(hexOfCid(account), order.map(operationOf)));
      const due = Object.entries(state.cuts).map(([key, cut]) => [key, cutOf(cut).map(String)]).sort();
      const cuts = [...found.cuts].map(([key, cut]) => [key, cut.map(String)]).sort();
      is("trunk", name, [found.generation, cuts, found.closed, found.alarms.toSorted()], [state.generation, due, state.closed, state.alarms.toSorted()]);
      const logs = Map.groupBy ? Map.groupBy(held, (cid) => trunk.entries[cid].key) : grouped(held, (cid) => trunk.entries[cid].key);
      for (const [key, cids] of logs) {
        const log = cids.map((cid) => ({ ...trunk.entries[cid], id: hexOfCid(cid), prev: trunk.entries[cid].prev && hexOfCid(trunk.entries[cid].prev) }));
        const verdicts = core.judge(found.cuts.get(key) ?? core.NOTHING, log);
        for (const cid of cids) is("trunk", `${name}: ${cid}`, verdicts.get(hexOfCid(cid)), standing[cid]);
      }
    }
  }
}

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  return value && typeof value === "object" ? Object.fromEntries(Object.entries(value).sort().map(([key, item]) => [key, sorted(item)])) : value;
}
function grouped(items, keyOf) {
  const groups = new Map();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}

for (const account of task.accounts ?? []) seen.drawings[account] = [core.drawSigil(account), core.drawBanner(account), core.wordsOf(account).join(" ")];

seen.contents = (task.contents ?? []).map((text) => {
  const bytes = core.base64Bytes(text);
  return bytes !== null && !refused(() => core.parseContents(bytes));
});

const PIECE = /<script type="application\/octet-stream" id="piece-(\d+)">([^]*?)<\/script>/g;
for (const [name, path] of Object.entries(task.files ?? {})) {
  // As in a page that came without TLS: the browser lends no cryptography.
  if (name === "bare") Object.defineProperty(globalThis, "crypto", { value: undefined });
  const html = readFileSync(path, "latin1");
  const pieces = [];
  for (const [, number, text] of html.matchAll(PIECE)) pieces[Number(number) - 1] = text;
  const found = /id="contents" data-sha256="([^]{64})">([^]*?)<\/script>/.exec(html);
  const contents = found && { text: found[2], digest: found[1] };
  const { report } = await core.checkFile({ contents, pieces: Array.from(pieces, (piece) => piece ?? null) });
  seen.files[name] = report;
}
writeSync(1, JSON.stringify(seen));
