// Strict DAG-CBOR: for every value exactly one byte string (docs/protocol.md, 1). As identity/codec.py.
// Whole numbers beyond what a JavaScript number holds come out as BigInt, links as Link, maps as Map.

const MAX_DEPTH = 16;
const BLOCK = { bytes: 65_536, items: 4_096 };
const FRAME = { bytes: 1_048_576, items: 65_536 };
const MAX_INT = 2n ** 63n - 1n;

class Malformed extends Error {}

const DAG_CBOR = "01711220"; // CIDv1, dag-cbor, sha2-256, 32 bytes
const RAW = "01551220";

// The 36 bytes of a CID, kept as hexadecimal.
class Link {
  constructor(hex) {
    this.hex = hex;
  }
  get isBlock() {
    return this.hex.startsWith(DAG_CBOR);
  }
  get digest() {
    return this.hex.slice(8);
  }
  toString() {
    return cidText(this.hex);
  }
}

function cidText(hex) {
  return "b" + base32Of(bytesOf(hex));
}

const strictText = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

class Reader {
  constructor(data, maxItems) {
    this.data = data;
    this.at = 0;
    this.left = maxItems - 1; // the outermost; every other item is counted by what contains it
  }

  take(count) {
    if (count > this.data.length - this.at) throw new Malformed("the bytes end too early");
    this.at += count;
    return this.data.subarray(this.at - count, this.at);
  }

  // The argument of a head in its shortest form: a number, or a BigInt where that is too small.
  argument(info) {
    if (info < 24) return info;
    if (info > 27) throw new Malformed("a head of no length we know");
    const bytes = this.take(1 << (info - 24));
    let number = 0;
    if (info < 27) {
      for (const byte of bytes) number = number * 256 + byte;
    } else {
      let big = 0n;
      for (const byte of bytes) big = big * 256n + BigInt(byte);
      if (big > MAX_INT) throw new Malformed("a number is out of range");
      number = big <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(big) : big;
    }
    if (number < [24, 2 ** 8, 2 ** 16, 2 ** 32][info - 24]) throw new Malformed("a number is not in its shortest form");
    return number;
  }

  enter(items, depth) {
    if (depth > MAX_DEPTH) throw new Malformed(`nested deeper than ${MAX_DEPTH}`);
    this.left -= items;
    if (this.left < 0) throw new Malformed("too many items");
  }

  length(info) {
    const length = this.argument(info);
    if (length > this.data.length) throw new Malformed("the bytes end too early");
    return Number(length);
  }

  value(depth) {
    const head = this.take(1)[0];
    const info = head & 31;
    switch (head >> 5) {
      case 0:
        return this.argument(info);
      case 1: {
        const below = this.argument(info);
        if (typeof below === "bigint") return -1n - below;
        const number = -1 - below;
        return Number.isSafeInteger(number) ? number : BigInt(number);
      }
      case 2:
        return this.take(this.length(info)).slice();
      case 3:
        return this.text(this.take(this.length(info)));
      case 4:
        return this.list(this.length(info), depth);
      case 5:
        return this.map(this.length(info), depth);
      case 6:
        return this.link(head, depth);
      default:
        if (head === 0xf4) return false;
        if (head === 0xf5) return true;
        if (head === 0xf6) return null;
        throw new Malformed("a value that has no place in a record");
    }
  }

  text(bytes) {
    try {
      return strictText.decode(bytes);
    } catch {
      throw new Malformed("a text is not UTF-8");
    }
  }

  list(length, depth) {
    this.enter(length, depth);
    const items = [];
    for (let count = 0; count < length; count += 1) items.push(this.value(depth + 1));
    return items;
  }

  map(length, depth) {
    this.enter(2 * length, depth);
    const fields = new Map();
    let before = null;
    for (let count = 0; count < length; count += 1) {
      const head = this.take(1)[0];
      if (head >> 5 !== 3) throw new Malformed("a map key is no text");
      const bytes = this.take(this.length(head & 31));
      let key = "";
      for (const byte of bytes) {
        if (byte > 127) throw new Malformed("a map key is not ASCII");
        key += String.fromCharCode(byte);
      }
      const isLater = before === null || key.length > before.length || (key.length === before.length && key > before);
      if (!isLater) throw new Malformed("map keys are not in order");
      before = key;
      fields.set(key, this.value(depth + 1));
    }
    return fields;
  }

  link(head) {
    if (head !== 0xd8 || this.take(1)[0] !== 42) throw new Malformed("a tag that has no place in a record");
    const bytes = this.take(39);
    const hex = hexOf(bytes);
    // A byte string of 37: the prefix of a binary CID, and the CID.
    if (!hex.startsWith("582500" + DAG_CBOR) && !hex.startsWith("582500" + RAW)) throw new Malformed("not a link");
    return new Link(hex.slice(6));
  }
}

function decode(data, limits = BLOCK) {
  if (data.length > limits.bytes) throw new Malformed(`more than the ${limits.bytes} bytes allowed`);
  const reader = new Reader(data, limits.items);
  const value = reader.value(1);
  if (reader.at !== data.length) throw new Malformed("bytes trail behind the value");
  return value;
}

function isInt(value) {
  return typeof value === "bigint" || Number.isInteger(value);
}

// ``number`` less a small count, in the form ``decode`` gives.
function less(number, count) {
  if (typeof number !== "bigint") return number - count;
  const result = number - BigInt(count);
  return result <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(result) : result;
}
