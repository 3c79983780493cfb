/** The contract's site on Express 5, and on Express 4. */
import express from 'express'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { pipeline, Readable } from 'node:stream'
import { problemHandler, tenantMiddleware } from '../../../src/http/express.ts'
import { type Face, listen } from './site.ts'

type Express = typeof express

/** Express 4 goes by the types of 5: only one version's can be installed. */
const express4 = createRequire(import.meta.url)('express-4') as Express

function face(framework: Express): Face {
  return async ({ tenancy, options, routes, onError }) => {
    const app = framework()
    app.use(tenantMiddleware(tenancy, options))
    for (const [path, handle] of Object.entries(routes)) {
      // Where nothing parses, the body is a stream.
      const parsers = path === '/me' ? [framework.json(), framework.text()] : []
      app.all(path, ...parsers, (req, res, next) => {
        const { tenant, tenantId, url } = req
        const visit = { tenant, tenantId, url, body: async () => req.body as unknown, upload: () => req }
        handle(visit).then((reply) => {
          if ('json' in reply) res.json(reply.json)
          else pipeline(Readable.from(reply.stream), res, (error) => error && onError(error))
        }, next)
      })
    }
    app.use(problemHandler({ onError }))
    return listen(createServer(app))
  }
}

export const express5Face = face(express)
export const express4Face = face(express4)
