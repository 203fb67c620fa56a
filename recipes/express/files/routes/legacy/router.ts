// The router that was there before: put yours in its place. It knows nothing of Fastify.
import express, { type Router } from 'express'

export const router: Router = express.Router()

router.get('/greetings/:name', (request, response) => {
  response.json({ greeting: `Hello ${request.params.name}` })
})

router.post('/greetings', express.json(), (request, response) => {
  const { name } = request.body as { name?: unknown }
  if (typeof name !== 'string') {
    response.status(400).json({ error: 'name is missing' })
    return
  }
  response.status(201).json({ greeting: `Hello ${name}` })
})
