/** Puts objects into an order in which each finds what it needs. */

/** An object and the ids of what must be there before it. */
export interface Ordered {
  readonly id: string
  readonly needs: readonly string[]
}

/**
 * The nodes, each behind those that it needs; otherwise they stay in the order in which they come.
 * @returns the ids of a circle instead, where there is one.
 */
export function orderObjects<T extends Ordered>(nodes: readonly T[]): T[] | { readonly circle: string[] } {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const state = new Map<string, 'open' | 'done'>()
  const ordered: T[] = []
  for (const root of nodes) {
    // Without recursion: views may stand on views to any depth.
    const path: { node: T; next: number }[] = [{ node: root, next: 0 }]
    while (path.length > 0) {
      const top = path.at(-1)
      if (top === undefined) break
      if (state.get(top.node.id) === 'done') {
        path.pop()
        continue
      }
      state.set(top.node.id, 'open')
      const need = top.node.needs[top.next++]
      if (need === undefined) {
        state.set(top.node.id, 'done')
        ordered.push(top.node)
        path.pop()
        continue
      }
      const target = byId.get(need)
      if (target === undefined || target === top.node || state.get(need) === 'done') continue
      if (state.get(need) === 'open') {
        const from = path.findIndex(({ node }) => node === target)
        return { circle: path.slice(from).map(({ node }) => node.id) }
      }
      path.push({ node: target, next: 0 })
    }
  }
  return ordered
}
