/** Tagged templates that run: `await sql`select …`` gives the rows. */
import type pg from 'pg'
import { TenantryError } from '../../core/errors.ts'
import { BUILDERS, readTemplate, type SqlBuilders, SqlFragment } from '../../sql/template.ts'

/** Runs what a template says. */
type Run = <R extends pg.QueryResultRow>(fragment: SqlFragment) => Promise<pg.QueryResult<R>>

/**
 * One statement. It runs once, as somebody awaits it or asks for its rows, and for the tenant of whoever does; put into
 * another template it is a part of that and does not run.
 */
export class SqlQuery<R extends pg.QueryResultRow> extends SqlFragment implements PromiseLike<R[]> {
  readonly #run: Run
  #result: Promise<pg.QueryResult<R>> | undefined

  constructor(strings: readonly string[], parts: readonly unknown[], run: Run) {
    super(strings, parts)
    this.#run = run
  }

  /** As node-postgres gives it: `rows`, `rowCount`, `fields`. */
  execute(): Promise<pg.QueryResult<R>> {
    this.#result ??= this.#run<R>(this)
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

/** @param run sends a statement to whom the tag belongs to. */
export function createSqlTag(run: Run): SqlTag {
  const tag = <R extends pg.QueryResultRow>(
    strings: TemplateStringsArray,
    ...parts: readonly unknown[]
  ): SqlQuery<R> => new SqlQuery<R>(readTemplate(strings), parts, run)
  return Object.assign(tag, BUILDERS)
}
