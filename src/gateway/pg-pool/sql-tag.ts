/** Tagged templates that run: `await sql`select …`` gives the rows. */
import type pg from 'pg'
import { TenantryError } from '../../core/errors.ts'
import { BUILDERS, readTemplate, type SqlBuilders, SqlFragment } from '../../sql/template.ts'

/** Runs what a template says. */
type Run = <R extends pg.QueryResultRow>(fragment: SqlFragment) => Promise<pg.QueryResult<R>>

/** Whose rows a statement gives. */
interface Runner {
  readonly run: Run
  /** Of a tag that nobody has named a tenant for: the id of the context's tenant. */
  readonly contextTenant?: (() => string | undefined) | undefined
}

/**
 * One statement. It runs once, as somebody awaits it or asks for its rows, and for the tenant of whoever does; put into
 * another template it is a part of that and does not run.
 */
export class SqlQuery<R extends pg.QueryResultRow> extends SqlFragment implements PromiseLike<R[]> {
  readonly #runner: Runner
  #result: Promise<pg.QueryResult<R>> | undefined
  /** For whom it has run. */
  #tenant: string | undefined

  constructor(strings: readonly string[], parts: readonly unknown[], runner: Runner) {
    super(strings, parts)
    this.#runner = runner
  }

  /** As node-postgres gives it: `rows`, `rowCount`, `fields`. @throws TNY234 where it has run for another tenant */
  execute(): Promise<pg.QueryResult<R>> {
    const here = this.#runner.contextTenant?.()
    if (this.#result === undefined) {
      this.#tenant = here
      this.#result = this.#runner.run<R>(this)
    } else if (here !== undefined && this.#tenant !== undefined && here !== this.#tenant) {
      // One that was made for all requests would give each of them the rows of the first (A4).
      return Promise.reject(
        new TenantryError('TNY234', { params: { tenant: this.#tenant }, tenantId: this.#tenant }),
      )
    }
    return this.#result
  }

  /** The first row, or `undefined`. */
  async first(): Promise<R | undefined> {
    return (await this.execute()).rows[0]
  }

  /** The only row. @throws TNY236 where there is none, or another one */
  async one(): Promise<R> {
    const { rows } = await this.execute()
    const [row] = rows
    if (row === undefined || rows.length > 1) {
      throw new TenantryError('TNY236', { params: { found: rows.length } })
    }
    return row
  }

  // oxlint-disable-next-line unicorn/no-thenable -- awaiting it is what it is for
  then<A = R[], B = never>(
    onRows?: ((rows: R[]) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.execute()
      .then(({ rows }) => rows)
      .then(onRows, onError)
  }

  catch<B>(onError: (error: unknown) => B | PromiseLike<B>): Promise<R[] | B> {
    return this.then(undefined, onError)
  }

  finally(fn: () => void): Promise<R[]> {
    return this.then().finally(fn)
  }
}

/** A tag whose templates run. */
export interface SqlTag extends SqlBuilders {
  <R extends pg.QueryResultRow = pg.QueryResultRow>(
    strings: TemplateStringsArray,
    ...parts: readonly unknown[]
  ): SqlQuery<R>
}

/** @param runner sends a statement to whom the tag belongs to. */
export function createSqlTag(runner: Runner): SqlTag {
  const tag = <R extends pg.QueryResultRow>(
    strings: TemplateStringsArray,
    ...parts: readonly unknown[]
  ): SqlQuery<R> => new SqlQuery<R>(readTemplate(strings), parts, runner)
  return Object.assign(tag, BUILDERS)
}
