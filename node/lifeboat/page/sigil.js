// The picture an account has before anybody gives it one, drawn from its id alone. As node/web/sigil.py, to the byte.

const PALETTES = [
  ["#123c34", "#7fd3b0", "#e9efe2"], ["#20304f", "#f08a6d", "#f4ead7"], ["#5b2333", "#eeb4a4", "#f7e9e1"],
  ["#0f4c5c", "#e6ddc0", "#7fd1c7"], ["#3a2d5c", "#8fd6c0", "#f0e9f7"], ["#6e3a24", "#f0d9c4", "#2a1710"],
  ["#28502e", "#c3dd74", "#f1f6de"], ["#1f2a30", "#7fc8d8", "#f1f4f2"], ["#6b1f2b", "#ffb4a2", "#2b0b12"],
  ["#bcd6c6", "#1d3b33", "#fbfaf2"], ["#2b3a78", "#efb6cd", "#eceffb"], ["#d6c9ba", "#43304f", "#8d4b5b"],
];

// Choices out of a hash: the same for the same account in every program.
class Dice {
  constructor(label, account) {
    this.seed = joined(utf8.encode(label), bytesOf(account.slice(8)));
    this.bytes = [];
    this.rolls = 0;
  }
  below(sides) {
    if (!this.bytes.length) {
      this.bytes = [...sha256(joined(this.seed, new Uint8Array([0, 0, 0, this.rolls])))];
      this.rolls += 1;
    }
    return this.bytes.shift() % sides;
  }
  pick(choices) {
    return choices[this.below(choices.length)];
  }
}

function drawSigil(account) {
  const dice = new Dice("unhush sigil 1 ", account);
  const palette = dice.pick(PALETTES);
  const drawing = dice.pick([drawRings, drawTiles, drawHorizon, drawRays, drawWeave]);
  return svg(100, 100, `<rect width="100" height="100" fill="${palette[0]}"/>${drawing(dice, palette)}`);
}

function drawBanner(account) {
  const [ground, figure, second] = new Dice("unhush sigil 1 ", account).pick(PALETTES);
  const dice = new Dice("unhush banner 1 ", account);
  const x = 420 + 8 * dice.below(26);
  const y = 190 + dice.below(40);
  let shapes = `<rect width="800" height="200" fill="${ground}"/>`;
  for (let radius = 44; radius < 740; radius += 30) {
    const colour = dice.pick([figure, figure, second]);
    const opacity = radius > 90 ? dice.pick(["0.1", "0.16", "0.24", "0.4", "0.75"]) : "0.9";
    const width = dice.pick([5, 9, 14, 18]);
    const share = 0.22 + 0.06 * dice.below(10);
    shapes += arc(x, y, radius, width, share, 15 * dice.below(24), `stroke="${colour}" opacity="${opacity}"`);
  }
  return svg(800, 200, `${shapes}<circle cx="${x}" cy="${y}" r="24" fill="${figure}"/>`, ' preserveAspectRatio="xMidYMid slice"');
}

function svg(width, height, shapes, more = "") {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}"${more}>${shapes}</svg>\n`;
}

function arc(x, y, radius, width, share, turn, paint) {
  const round = 2 * Math.PI * radius;
  return `<circle cx="${x}" cy="${y}" r="${radius}" fill="none" stroke-width="${width}" ${paint}`
    + ` stroke-dasharray="${(round * share).toFixed(1)} ${round.toFixed(1)}" transform="rotate(${turn} ${x} ${y})"/>`;
}

function drawRings(dice, [, figure, second]) {
  return [38, 24, 10].map((radius) => {
    const share = dice.pick([0.25, 0.5, 0.62, 0.75]);
    const turn = 45 * dice.below(8);
    return arc(50, 50, radius, 9, share, turn, `stroke="${dice.pick([figure, second])}"`);
  }).join("");
}

function drawTiles(dice, [ground, figure, second]) {
  let shapes = "";
  for (const left of [0, 50]) {
    for (const top of [0, 50]) {
      const right = dice.below(2);
      const low = dice.below(2);
      const [x, y] = [left + 50 * right, top + 50 * low];
      const colour = dice.pick([figure, second, figure]);
      const hole = dice.pick([18, 26, 33]);
      for (const [radius, paint] of [[50, colour], [hole, ground]]) {
        const across = right ? -radius : radius;
        const down = low ? -radius : radius;
        shapes += `<path d="M${x} ${y}h${across}A${radius} ${radius} 0 0 ${right === low ? 1 : 0} ${x} ${y + down}Z" fill="${paint}"/>`;
      }
    }
  }
  return shapes;
}

function drawHorizon(dice, [, figure, second]) {
  const line = dice.pick([46, 54, 62]);
  const x = dice.pick([36, 50, 64]);
  let shapes = `<circle cx="${x}" cy="${line - 4}" r="${dice.pick([17, 22, 26])}" fill="${figure}"/>`;
  for (let wave = 0; wave < 6; wave += 1) {
    const lift = dice.pick([-6, 6]);
    shapes += `<path d="M-5 ${(line + 8.6 * wave).toFixed(1)}q14 ${lift} 28 0t28 0 28 0 28 0" fill="none" stroke="${second}"`
      + ` stroke-width="${(3.4 - 0.25 * wave).toFixed(2)}"/>`;
  }
  return shapes;
}

function drawRays(dice, [, figure, second]) {
  const count = dice.pick([7, 9, 12]);
  const start = dice.below(30) / 100;
  let shapes = "";
  for (let ray = 0; ray < count; ray += 1) {
    const [one, two] = [0, 0.5].map((half) => (2 * Math.PI * (ray + start + half)) / count);
    const at = (angle) => `${(50 + 80 * Math.cos(angle)).toFixed(1)} ${(50 + 80 * Math.sin(angle)).toFixed(1)}`;
    shapes += `<path d="M50 50L${at(one)}A80 80 0 0 1 ${at(two)}Z" fill="${figure}"/>`;
  }
  return shapes + `<circle cx="50" cy="50" r="${dice.pick([16, 22, 27])}" fill="${second}"/>`;
}

function drawWeave(dice, [, figure, second]) {
  const turn = 15 * dice.below(12);
  const disc = dice.pick([30, 36, 42]);
  let bars = "";
  for (let row = 0; row < 5; row += 1) {
    bars += `<rect x="${dice.pick([-20, 8, 26, 44])}" y="${10 + 17 * row}" width="${dice.pick([34, 52, 76])}" height="8"`
      + ` rx="4" fill="${second}"/>`;
  }
  return `<circle cx="50" cy="50" r="${disc}" fill="${figure}"/><g transform="rotate(${turn} 50 50)">${bars}</g>`;
}
