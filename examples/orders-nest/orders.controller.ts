/** The routes of a tenant. */
import { BadRequestException, Body, Controller, Get, Post } from '@nestjs/common'
import type { Tenant } from 'tenantry'
import { CurrentTenant } from 'tenantry/nest'
import { OrdersService } from './orders.service.ts'

@Controller()
export class OrdersController {
  constructor(private readonly orders: OrdersService) {}

  @Get('me')
  me(@CurrentTenant() { key, name, plan }: Tenant) {
    return { key, name, plan }
  }

  @Get('orders')
  list() {
    return this.orders.list()
  }

  @Post('orders')
  add(@Body() body: { customer?: unknown; amount?: unknown } | undefined) {
    const { customer, amount } = body ?? {}
    // PostgreSQL's text holds every character but NUL.
    if (typeof customer !== 'string' || customer === '' || customer.includes('\0'))
      throw new BadRequestException('customer is a text that is not empty.')
    if (typeof amount !== 'number' || !(amount >= 0 && amount < 1e10))
      throw new BadRequestException('amount is a number from 0 to 10,000,000,000.')
    return this.orders.add(customer, amount)
  }
}
