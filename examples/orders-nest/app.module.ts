/** The orders backend on NestJS: one module, in which every provider is a singleton that serves all tenants. */
import { Controller, Get, Module } from '@nestjs/common'
import { APP_GUARD } from '@nestjs/core'
import { subdomain } from 'tenantry'
import { TenantGuard, TenantryModule, WithoutTenant } from 'tenantry/nest'
import { OrdersController } from './orders.controller.ts'
import { OrdersService } from './orders.service.ts'
import { tenancy } from './tenancy.ts'

@Controller('healthz')
class HealthController {
  @Get()
  @WithoutTenant()
  health() {
    return { status: 'ok' }
  }
}

@Module({
  imports: [
    TenantryModule.forRoot({
      tenancy,
      resolve: subdomain({ root: process.env['ROOT_HOST'] ?? 'localhost' }),
      except: ['/healthz'],
    }),
  ],
  controllers: [HealthController, OrdersController],
  // Refuses requests without a tenant, should a path of `except` ever lead to a handler that needs one.
  providers: [OrdersService, { provide: APP_GUARD, useClass: TenantGuard }],
})
export class AppModule {}
