/**
 * Starts the service and ends it in good order on SIGTERM and SIGINT: no new requests, the running ones are answered,
 * then every connection is closed. The process exits by itself.
 *
 *     DATABASE_URL=postgres://... npx tsx examples/songs-api/main.ts
 */
import { createApp } from './app.js'
import { settings } from './settings.js'

const app = createApp()
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => void app.close())

const address = await app.listen({ host: settings.host, port: settings.port })
console.log(`songs-api listens on ${address}`)
