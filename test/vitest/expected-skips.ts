/** The tests that may be skipped in CI, each with its reason. Any other skip fails the run there. */

/** Full title (`suite > test`) to the reason why it may be skipped. */
export const EXPECTED_SKIPS: Readonly<Record<string, string>> = {
  'a disk too small for a new database is told in one sentence': 'only root may mount a disk to fill',
  'a disk that is full at the next start is told too, and the data are there once there is room':
    'only root may mount a disk to fill',
}
