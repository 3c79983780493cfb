/** GET /healthz: for no tenant, on any host. */
export function GET(): Response {
  return Response.json({ status: 'ok' })
}
