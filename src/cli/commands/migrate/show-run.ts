/** Shows a run while it goes on: one line that changes on a terminal, lines in a log, or events for machines. */
import type { MigrationEvent, MigrationProgress } from '../../../migrate/fleet/run-events.ts'
import { describeRunner } from '../../../migrate/fleet/runner-lock.ts'
import type { Listeners } from '../../../migrate/fleet/tally.ts'
import { showDuration } from '../../duration.ts'
import { toDocument } from '../../failure.ts'
import type { Output } from '../../output.ts'

/** A terminal is not written to more often. */
const REDRAW_MS = 100

export interface ShowOptions {
  /** Every event as a line of JSON. */
  readonly events: boolean
  /** What happens to tenants, in the past: `migrated`. */
  readonly verb: string
}

export function showRun(output: Output, { events, verb }: ShowOptions): Listeners {
  let drawnAt = 0
  if (events) {
    return { onEvent: (event) => output.notice(JSON.stringify(documentOf(event))) }
  }
  return {
    onProgress(progress) {
      const now = Date.now()
      if (now - drawnAt < REDRAW_MS && progress.done < progress.total) return
      drawnAt = now
      output.progress(progressLine(progress, verb))
    },
    onEvent(event) {
      const line = lineOf(event)
      if (line !== undefined) output.notice(line)
      if (event.type === 'batch')
        output.progress(`${event.tenant}: ${event.migration}, ${event.rows} rows so far`)
    },
  }
}

/** The numbers come first: a narrow terminal cuts the end. */
function progressLine(progress: MigrationProgress, verb: string): string {
  const { done, total, failed, tenant, wave, perSecond, leftMs } = progress
  const parts = [
    `${verb} ${done} of ${total}`,
    perSecond === undefined ? '' : `${perSecond < 10 ? perSecond.toFixed(1) : Math.round(perSecond)}/s`,
    leftMs === undefined || done === total ? '' : `${showDuration(leftMs)} left`,
    failed === 0 ? '' : `${failed} failed`,
    wave === undefined || wave === 'all' ? '' : `wave ${wave}`,
  ]
  return `${parts.filter((part) => part !== '').join(', ')}: ${tenant}`
}

function lineOf(event: MigrationEvent): string | undefined {
  switch (event.type) {
    case 'waiting':
      return event.runner === undefined
        ? 'Waiting for another runner to end.'
        : `Waiting for another runner to end: ${describeRunner(event.runner)}.`
    case 'wave':
      return event.wave === 'all' ? undefined : `Wave ${event.wave}: ${event.tenants} to do.`
    case 'wave-done':
      return event.name === 'all'
        ? undefined
        : `Wave ${event.name}: ${event.migrated} done, ${event.failed} failed, ${showDuration(event.tookMs)}.`
    case 'pause':
      return `Pausing for ${showDuration(event.ms)}.`
    case 'gate':
      return gateLine(event)
    case 'stopping':
      return 'Stopping behind the steps that are under way; once more to stop at once.'
    case 'tenant':
    case 'batch':
      return undefined
  }
}

function gateLine({ gate, attempt, attempts, problem }: Extract<MigrationEvent, { type: 'gate' }>): string {
  const of = attempts === 1 ? '' : ` (attempt ${attempt} of ${attempts})`
  return `Gate: ${gate}: ${problem === undefined ? 'well' : `not well, ${problem}`}${of}.`
}

function documentOf(event: MigrationEvent): unknown {
  return event.type === 'tenant' && event.error !== undefined
    ? { ...event, error: toDocument(event.error) }
    : event
}
