// Prints a page with Segment's own snippet on it, rendered by Segment's own package. In: {host, apiKey}; out: HTML.
const { readFileSync } = require('node:fs')
const snippet = require('@segment/snippet')

const { host, apiKey } = JSON.parse(readFileSync(0, 'utf8'))
console.log(`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>A stranger's shop</title>
    <link rel="icon" href="data:,">
    <script>
${snippet.min({ host, apiKey })}
    </script>
  </head>
  <body>
    <h1>A stranger's shop</h1>
  </body>
</html>`)
