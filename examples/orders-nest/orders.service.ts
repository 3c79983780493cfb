/** The orders of whichever tenant the request is for: the pool knows it, the service need not. */
import { Inject, Injectable } from '@nestjs/common'
import type { Tenancy } from 'tenantry'
import { TENANCY } from 'tenantry/nest'

const COLUMNS = 'id::int, customer, amount::float, created_at as "createdAt"'

@Injectable()
export class OrdersService {
  constructor(@Inject(TENANCY) private readonly tenancy: Tenancy) {}

  async list(): Promise<object[]> {
    const { rows } = await this.tenancy.pool.query(
      `select ${COLUMNS} from orders order by orders.id limit 1000`,
    )
    return rows
  }

  async add(customer: string, amount: number): Promise<object | undefined> {
    const { rows } = await this.tenancy.pool.query(
      `insert into orders (customer, amount) values ($1, $2) returning ${COLUMNS}`,
      [customer, amount],
    )
    return rows[0]
  }
}
