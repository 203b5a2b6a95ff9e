// Ed25519 by our one rule (docs/protocol.md, 1): a key is a canonical point of the prime-order subgroup; a
// signature holds iff S < L, R is not the identity, and encode(S·B − h·A) equals the bytes of R. The browser's own
// code is used where it judges the known edge cases so, else the library beside this, which is slower.

const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const NOBODY = "01" + "00".repeat(31); // the identity

function isNobody(signature) {
  return signature[0] === 1 && signature.subarray(1, 32).every((byte) => byte === 0);
}

const GOOD_KEY = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";
// The same cases as the self-test of identity/keys.py: message, signature, whether it holds.
const CASES = [
  ["unhush", "885d02bb9d95f8c527465b0371db59b4d48589367efe0a321c22d5cf24d9397573bfda17bf4a2c4c3ff9537431f08da33a2de61f70fe35f07d7a3c7dc8a53008", true],
  ["unhush", "885d02bb9d95f8c527465b0371db59b4d48589367efe0a321c22d5cf24d939756093d074d9ad3ea415964b1710ea6cb83a2de61f70fe35f07d7a3c7dc8a53018", false],
  ["unhush", "010000000000000000000000000000000000000000000000000000000000000060e73cfdfa41b4abb3eaff122cf6e45349eaacbb83f22ac43656a47f6b497b04", false],
  ["unhush", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f838ceaa27578ff4e3ea6dd05dad18967eb956a037d2464684c0c191c54110e0d", false],
  ["unhush", "0100000000000000000000000000000000000000000000000000000000000080b0933e9d01431809a046db7a95ed873e39c370319c39f15da3f5418884eabb06", false],
  ["unhush", "b15bf26424d1b69dd33b7a9e57db5de4a2aadea4a2a051efd9bfd6af74165d2b230311fe4b7a78bab8c8867e27786c37595b459d6ae05d9ac18ee31e89a28807", false],
  ["unhusH", "885d02bb9d95f8c527465b0371db59b4d48589367efe0a321c22d5cf24d9397573bfda17bf4a2c4c3ff9537431f08da33a2de61f70fe35f07d7a3c7dc8a53008", false],
];
const POINTS = [
  [GOOD_KEY, true],
  ["b502ff3d92e31d8190b4aa4ea0414005167fad089c4de9dac8a2fc850fed4f58", false],
  ["ea5ef8400c31ef41e28f22e718b43f66981b29cf645af2a0e223799bedaace47", false],
  ["26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", false],
  [NOBODY, false],
  ["eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", false],
  ["0100000000000000000000000000000000000000000000000000000000000080", false],
  ["0200000000000000000000000000000000000000000000000000000000000000", false],
];

const admitted = new Map();

function isAdmissible(key) {
  if (!admitted.has(key)) admitted.set(key, pointOf(key) !== null);
  return admitted.get(key);
}

function pointOf(key) {
  try {
    const point = library.Point.fromHex(key);
    return point.toHex() === key && !point.isSmallOrder() && point.isTorsionFree() ? point : null;
  } catch {
    return null;
  }
}

function numberOf(bytes) {
  return BigInt("0x" + hexOf(bytes.slice().reverse()));
}

class OwnVerifier {
  constructor() {
    this.name = "the library in this file";
    this.points = new Map();
  }

  async verify(key, message, signature) {
    const encoded = hexOf(signature.subarray(0, 32));
    const s = numberOf(signature.subarray(32));
    if (signature.length !== 64 || isNobody(signature) || s >= ORDER || !isAdmissible(key)) return false;
    if (!this.points.has(key)) this.points.set(key, pointOf(key).negate());
    const h = numberOf(library.sha512(joined(signature.subarray(0, 32), bytesOf(key), message))) % ORDER;
    const base = s ? library.Point.BASE.multiply(s, false) : library.Point.ZERO;
    return base.add(this.points.get(key).multiply(h, false)).toHex() === encoded;
  }
}

class BrowserVerifier {
  constructor() {
    this.name = "this browser";
    this.keys = new Map();
  }

  async verify(key, message, signature) {
    if (signature.length !== 64 || isNobody(signature) || !isAdmissible(key)) return false;
    if (!this.keys.has(key)) {
      this.keys.set(key, crypto.subtle.importKey("raw", bytesOf(key), { name: "Ed25519" }, false, ["verify"]));
    }
    return crypto.subtle.verify({ name: "Ed25519" }, await this.keys.get(key), signature, message);
  }
}

async function judgesRightly(verifier) {
  for (const [message, signature, expected] of CASES) {
    const verdict = await verifier.verify(GOOD_KEY, utf8.encode(message), bytesOf(signature));
    if (verdict !== expected) return false;
  }
  return true;
}

// Whoever judges the known cases as the protocol does; null if nobody here does.
async function findVerifier() {
  if (POINTS.some(([point, expected]) => isAdmissible(point) !== expected)) return null;
  try {
    const browser = new BrowserVerifier();
    if (await judgesRightly(browser)) return browser;
  } catch {
    // No Ed25519, or no cryptography at all where a page came without TLS.
  }
  const own = new OwnVerifier();
  return (await judgesRightly(own)) ? own : null;
}
