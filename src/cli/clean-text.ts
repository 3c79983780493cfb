/** Free text made safe for a terminal: names of tenants and words of servers must not move its cursor. */

const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g

/** One line without control characters or changes of direction; they show as escapes. */
export function clean(text: string): string {
  return text.replaceAll(CONTROL, (char) => {
    if (char === '\n') return ' '
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}
