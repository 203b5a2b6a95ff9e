// Secure Scuttlebutt doing what our nodes do: one process gives many messages of many feeds to another, then live ones.
//
// `giver HOME FEEDS EACH POSTS` and `taker HOME ADDRESS TOTAL POSTS FEED…`. Each says what happens in lines of JSON,
// with times of the wall clock in seconds. A message counts as arrived when the database of the taker has it.
const fs = require('node:fs')
const path = require('node:path')
const readline = require('node:readline')
const { performance } = require('node:perf_hooks')
const SecretStack = require('secret-stack')
const ssbKeys = require('ssb-keys')

const SIZE = 180 // letters, so that a message has some 500 bytes, as our records have
const PAUSE_MS = 20
const caps = { shs: '1KHLiKZvAvjbY1ziZEHMXawbCEIM6qwjCDm3VYRan/s=' }

const say = (what) => process.stdout.write(JSON.stringify(what) + '\n')
const now = () => (performance.timeOrigin + performance.now()) / 1e3
const sleep = (ms) => new Promise((done) => setTimeout(done, ms))
const input = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()

function open (home) {
  const net = { transform: 'shs' }
  return SecretStack({ caps })
    .use(require('ssb-db2'))
    .use(require('ssb-db2/compat/ebt'))
    .use(require('ssb-ebt'))
    .call(null, {
      path: home,
      caps,
      keys: ssbKeys.loadOrCreateSync(path.join(home, 'secret')),
      connections: {
        incoming: { net: [{ ...net, host: '127.0.0.1', port: 0, scope: 'device' }] },
        outgoing: { net: [net] }
      }
    })
}

async function give (home, feeds, each, posts) {
  const ssb = open(home)
  const keys = Array.from({ length: Number(feeds) }, () => ssbKeys.generate())
  const write = (who, text) => new Promise((resolve, reject) => {
    const content = { type: 'post', text }
    ssb.db.create({ feedFormat: 'classic', keys: who, content }, (error, made) => error ? reject(error) : resolve(made))
  })
  for (const who of keys) {
    for (let number = 0; number < Number(each); number++) await write(who, `${number} `.padEnd(SIZE, 'x'))
  }
  await new Promise((resolve) => ssb.db.onDrain(resolve))
  for (const who of keys) ssb.ebt.request(who.id, true)
  say({ address: ssb.getAddress('device'), feeds: keys.map((who) => who.id) })
  await input.next() // the other has everything
  for (let number = 0; number < Number(posts); number++) {
    await sleep(PAUSE_MS)
    const made = await write(keys[0], `live ${number} `.padEnd(SIZE, 'x'))
    say({ posted: made.key, at: now() })
  }
  say({ posting: 'done' })
  await input.next()
}

async function take (home, address, total, posts, ...feeds) {
  const ssb = open(home)
  const seen = {}
  let count = 0
  let began = now()
  ssb.db.onMsgAdded(({ kvt }) => {
    count += 1
    if (count > Number(total)) seen[kvt.key] = now()
    if (count === Number(total)) ssb.db.onDrain(() => say({ got: 'bulk', seconds: now() - began }))
    if (count === Number(total) + Number(posts)) say({ got: 'live', seen })
  })
  for (const feed of feeds) ssb.ebt.request(feed, true)
  await sleep(500)
  began = now()
  await new Promise((resolve, reject) => ssb.connect(address, (error) => error ? reject(error) : resolve()))
  await input.next()
}

const [role, home, ...rest] = process.argv.slice(2)
fs.mkdirSync(home, { recursive: true })
const work = role === 'giver' ? give(home, ...rest) : take(home, ...rest)
work.then(() => process.exit(0), (error) => {
  say({ error: String(error) })
  process.exit(1)
})
