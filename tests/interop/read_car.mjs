// Reads a CAR file with the IPLD project's own libraries and says what it found as JSON; with a second path it
// also writes the blocks again, newest first, with that project's writer: FILE [COPY].

import { createReadStream, createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { CarBlockIterator, CarWriter } from '@ipld/car'
import * as dagCbor from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'
import { sha256 } from 'multiformats/hashes/sha2'

const [file, copy] = process.argv.slice(2)
const car = await CarBlockIterator.fromIterable(createReadStream(file))
const roots = await car.getRoots()
const blocks = []
const found = []

for await (const { cid, bytes } of car) {
  const value = dagCbor.decode(bytes)
  const again = dagCbor.encode(value)
  // A card of the account is a pair too, and no entry.
  found.push({
    cid: cid.toString(),
    recomputed: CID.createV1(dagCbor.code, await sha256.digest(bytes)).toString(),
    isSameAgain: Buffer.compare(Buffer.from(bytes), Buffer.from(again)) === 0,
    entry: Array.isArray(value) && value[0].body ? describe(value[0]) : null,
  })
  blocks.push({ cid, bytes })
}

function describe(header) {
  return { kind: header.kind, seq: header.seq, time: header.time, prev: header.prev?.toString() ?? null, body: header.body.toString() }
}

if (copy) {
  const { writer, out } = CarWriter.create(roots)
  const written = pipeline(Readable.from(out), createWriteStream(copy))
  for (const block of blocks.reverse()) await writer.put(block)
  await writer.close()
  await written
}

console.log(JSON.stringify({ roots: roots.map(String), blocks: found }))
