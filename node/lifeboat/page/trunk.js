// What an account is, as a pure function of the set of its identity operations (docs/protocol.md, 3, rules 1 to 9).
// As identity/trunk.py: signatures, points and sizes were checked when the operations were parsed.

const ADDED = 64; // devices one generation can name beside its table; more is a flood

function byBytes(one, other) {
  return one < other ? -1 : one > other ? 1 : 0; // of hexadecimal, so of the bytes
}

function byCut(one, other) {
  return one[0] < other[0] ? -1 : one[0] > other[0] ? 1 : byBytes(one[1], other[1]);
}

function isOpen(cut) {
  return byCut(cut, OPEN) === 0;
}

// How far along the chain fixed at inception a table stands; -1 if it is not on it.
function findGeneration(incept, table) {
  if (table.id === incept.id) return 0;
  const length = table.path.length;
  if (!length || length > GENERATIONS || table.key !== table.path.at(-1)) return -1;
  let after = bytesOf(table.next);
  for (const turn of table.path.toReversed()) after = commit(bytesOf(turn), after);
  return hexOf(after) === incept.next ? length : -1;
}

function limitOf(table) {
  return Math.min(ADDED, MAX_ROWS - table.devices.length);
}

// The operations that count; null without the inception.
function findTrunk(account, operations) {
  const ordered = [...new Map(operations.map((each) => [each.id, each])).values()].sort((a, b) => byBytes(a.id, b.id));
  const tables = ordered.filter((each) => each.isTable);
  const incept = tables.find((table) => table.id === account && !table.path.length);
  if (!incept) return null;
  const ranks = tables.map((table) => findGeneration(incept, table));
  const generation = Math.max(...ranks);
  const [table, rival = null] = tables.filter((_, at) => ranks[at] === generation);
  const own = ordered.filter((each) => !each.isTable && each.prev === table.id && each.key === table.root);
  const listed = new Set(table.devices.map((device) => device.key));
  const unlisted = new Set(own.filter((op) => op.device !== null && !listed.has(op.device)).map((op) => op.device));
  const named = [...unlisted].sort(byBytes).slice(0, limitOf(table) + 1);
  const counting = new Set([...listed, ...named]);
  const adds = new Map();
  for (const op of own) if (op.kind === "add" && named.includes(op.device) && !adds.has(op.device)) adds.set(op.device, op);
  const revokes = new Map();
  const lowest = own.filter((op) => op.kind === "revoke").sort((a, b) => byCut(a.cut, b.cut) || byBytes(a.id, b.id));
  for (const op of lowest) if (counting.has(op.device) && !revokes.has(op.device)) revokes.set(op.device, op);
  const freeze = own.find((op) => op.kind === "freeze") ?? null;
  return { incept, generation, table, rival, freeze, adds, revokes };
}

// {generation, table, cuts: key → cut, names: key → name, closed, alarms}
function fold(trunk) {
  const { table, adds, revokes } = trunk;
  const cuts = new Map(table.devices.map((device) => [device.key, device.cut]));
  const names = new Map(table.devices.map((device) => [device.key, device.name]));
  const beside = new Set([...adds.keys(), ...revokes.keys()].filter((key) => !cuts.has(key)));
  const flooded = beside.size > limitOf(table);
  if (!flooded && !trunk.freeze && !table.closed) {
    for (const [key, add] of adds) {
      cuts.set(key, OPEN);
      names.set(key, add.name);
    }
  }
  for (const [key, revoke] of revokes) {
    if (cuts.has(key) && byCut(revoke.cut, cuts.get(key)) < 0) cuts.set(key, revoke.cut);
  }
  const signs = { twice: trunk.rival, frozen: trunk.freeze, flooded };
  const alarms = Object.keys(signs).filter((name) => signs[name]);
  return { generation: trunk.generation, table: table.id, cuts, names, closed: table.closed, alarms };
}

// The standing of every authentic entry of one device's log under that device's cut, by id.
function judge(cut, entries) {
  const verdicts = new Map();
  if (isOpen(cut)) {
    const counts = new Map();
    for (const { seq } of entries) counts.set(seq, (counts.get(seq) ?? 0) + 1);
    let fork = OPEN[0];
    for (const [seq, count] of counts) if (count > 1 && seq < fork) fork = seq;
    for (const entry of entries) verdicts.set(entry.id, entry.seq < fork ? "in force" : "contested");
    return verdicts;
  }
  const held = new Map(entries.map((entry) => [entry.id, entry]));
  const proven = new Map();
  let at = held.get(cut[1]);
  while (at && BigInt(at.seq) === cut[0] - BigInt(proven.size)) {
    proven.set(at.seq, at.id);
    at = at.prev === null ? undefined : held.get(at.prev);
  }
  for (const { id, seq } of entries) {
    if (seq > cut[0]) verdicts.set(id, "void");
    else if (!proven.has(seq)) verdicts.set(id, "unproven");
    else verdicts.set(id, proven.get(seq) === id ? "in force" : "void");
  }
  return verdicts;
}
