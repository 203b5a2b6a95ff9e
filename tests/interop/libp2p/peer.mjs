// A js-libp2p node that meets one of ours: connects, asks who it is, pings, takes part in gossip.
// Arguments: address, topic. Prints one JSON object a line; ends when its input ends.
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

const [address, topic] = process.argv.slice(2)
const say = (what) => process.stdout.write(JSON.stringify(what) + '\n')

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify(), ping: ping(), pubsub: gossipsub({ allowPublishToZeroTopicPeers: true }) }
})
node.services.pubsub.addEventListener('message', ({ detail }) => {
  say({ heard: Buffer.from(detail.data).toString('hex'), topic: detail.topic, from: detail.from?.toString() })
})
node.services.pubsub.subscribe(topic)
say({ peer: node.peerId.toString(), addresses: node.getMultiaddrs().map(String) })

const identified = new Promise((resolve) => node.addEventListener('peer:identify', ({ detail }) => resolve(detail), { once: true }))
const connection = await node.dial(multiaddr(address))
const who = await identified
say({ identified: who.agentVersion, protocols: who.protocols, encryption: connection.encryption, muxer: connection.multiplexer })
say({ pinged: await node.services.ping.ping(connection.remotePeer) })

process.stdin.setEncoding('utf8')
let rest = ''
for await (const chunk of process.stdin) {
  rest += chunk
  const lines = rest.split('\n')
  rest = lines.pop()
  for (const line of lines) {
    const { recipients } = await node.services.pubsub.publish(topic, Buffer.from(line, 'hex'))
    say({ told: recipients.length })
  }
}
await node.stop()
