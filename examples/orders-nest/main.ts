/** Builds the application and serves it, as the `main.ts` of any NestJS project does. */
import 'reflect-metadata'
import { NestFactory } from '@nestjs/core'
import { drainOnSignal, problemFilter } from 'tenantry/nest'
import { AppModule } from './app.module.ts'
import { tenancy } from './tenancy.ts'

const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] })
app.useGlobalFilters(problemFilter())
await tenancy.ready()
await app.listen(process.env['PORT'] ?? 3000)
drainOnSignal({
  server: app.getHttpServer(),
  async close() {
    await app.close()
    await tenancy.close()
  },
})
