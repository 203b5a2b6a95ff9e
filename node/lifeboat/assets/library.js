// What a lifeboat takes from libraries, and nothing else of them.
export { Point } from "@noble/ed25519";
export { sha256, sha512 } from "@noble/hashes/sha2.js";
export { default as MarkdownIt } from "markdown-it";
export { default as DOMPurify } from "dompurify";
