// Makes calls through analytics-node 6, the generation before @segment/analytics-node: Basic credentials only.
// In: {host, writeKey, options, calls: [{type, userId, ...}]}; out: {version, sent, errors}.
const { readFileSync } = require('node:fs')
const Analytics = require('analytics-node-legacy')
const { version } = require('analytics-node-legacy/package.json')

const { host, writeKey, options, calls } = JSON.parse(readFileSync(0, 'utf8'))
const errors = []
const errorHandler = (error) => errors.push(String(error))
const analytics = new Analytics(writeKey, { host, errorHandler, flushAt: 1000, ...options })

// It sends the first call at once and alone, the others at the next flush.
const answers = calls.map(({ type, ...call }) => {
  if (call.timestamp) call.timestamp = new Date(call.timestamp) // it refuses a string
  return new Promise((resolve) => analytics[type](call, (_, { batch }) => resolve(batch)))
})
analytics.flush()
Promise.all(answers).then((batches) => {
  const sent = [...new Set(batches.flat().map((message) => message.messageId))]
  console.log(JSON.stringify({ version, sent, errors }))
})
