// Makes calls through @segment/analytics-node (node 18 and later).
// In: {host, writeKey, options, calls: [{type, userId, ...}]}; out: {version, sent, errors}.
import { readFileSync } from 'node:fs'
import { Analytics } from '@segment/analytics-node'

const { host, writeKey, options, calls } = JSON.parse(readFileSync(0, 'utf8'))
const errors = []
const sent = []
const analytics = new Analytics({ host, writeKey, ...options })
analytics.on('error', (error) => errors.push(`${error.code}: ${error.reason}`))
const answered = calls.map(({ type, ...call }, at) =>
  new Promise((resolve) => {
    analytics[type](call, (_, context) => {
      sent[at] = context?.event.messageId
      resolve()
    })
  })
)
await analytics.closeAndFlush({ timeout: 20_000 })
await Promise.all(answered)
console.log(JSON.stringify({ version: analytics.VERSION, sent, errors }))
