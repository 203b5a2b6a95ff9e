// Bytes and their text forms: hexadecimal inside (it sorts as the bytes do), base32 for people.

const utf8 = new TextEncoder();
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";

function hexOf(bytes) {
  if (bytes.toHex) return bytes.toHex();
  let hex = "";
  for (let at = 0; at < bytes.length; at += 1) hex += HEX[bytes[at]];
  return hex;
}

function bytesOf(hex) {
  const bytes = new Uint8Array(hex.length / 2);
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = parseInt(hex.slice(2 * at, 2 * at + 2), 16);
  return bytes;
}

function joined(...parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function isSame(one, other) {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

function base32Of(bytes) {
  let text = "";
  let waiting = 0;
  let bits = 0;
  for (const byte of bytes) {
    waiting = (waiting << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += BASE32[(waiting >> bits) & 31];
    }
    waiting &= (1 << bits) - 1;
  }
  return bits ? text + BASE32[(waiting << (5 - bits)) & 31] : text;
}

// The one base64 of some bytes; null for any other text.
function base64Bytes(text) {
  if (text.length % 4 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return null;
  if (Uint8Array.fromBase64) {
    try {
      return Uint8Array.fromBase64(text, { lastChunkHandling: "strict" });
    } catch {
      return null;
    }
  }
  const plain = atob(text);
  const bytes = new Uint8Array(plain.length);
  for (let at = 0; at < plain.length; at += 1) bytes[at] = plain.charCodeAt(at);
  const rest = text.length - 4;
  return rest < 0 || btoa(plain.slice((rest / 4) * 3)) === text.slice(rest) ? bytes : null;
}
