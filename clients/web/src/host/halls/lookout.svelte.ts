/** All halls as they are now, worked out once for the whole console; a hall of which nothing changed keeps its look. */
import { queue, speaking } from '../../shared/floor'
import { hallOf } from '../../shared/media/slots'
import type { Hall, HallCount, HallPresence, Link } from '../../shared/protocol'
import type { Session } from '../../shared/session.svelte'
import { look, type HallLook, type Surroundings } from './look'

/** What a look follows from. */
type Sources = readonly [Hall, HallPresence | undefined, Link | undefined, HallCount | undefined, boolean, boolean, number | undefined]

export class Lookout {
  readonly all: readonly HallLook[] = $derived.by(() => this.#look())
  readonly #session: Session
  #known = new Map<string, { sources: Sources; look: HallLook }>()

  constructor(session: Session) {
    this.#session = session
  }

  #look(): HallLook[] {
    const { replica, presence } = this.#session
    const around = this.#surroundings()
    const known = new Map<string, { sources: Sources; look: HallLook }>()
    const looks = replica.select('hall').map((hall) => {
      const seen = presence.get(hall.id)
      const link = replica.get('link', hall.id)
      const count = replica.get('hall_count', hall.id)
      const sources: Sources = [hall, seen, link, count, around.floor === hall.id, around.staged.has(hall.id), around.waiting.get(hall.id)]
      const before = this.#known.get(hall.id)
      const same = before?.sources.every((source, n) => source === sources[n])
      const one = before && same ? before : { sources, look: look(hall, seen, link, count, around) }
      known.set(hall.id, one)
      return one.look
    })
    this.#known = known
    return looks
  }

  #surroundings(): Surroundings {
    const { replica } = this.#session
    const waiting = new Map<string, number>()
    queue(replica).forEach((turn, n) => waiting.has(turn.hall) || waiting.set(turn.hall, n + 1))
    return { floor: speaking(replica)?.hall, staged: new Set(replica.get('stage', 'stage')?.video.map(hallOf)), waiting }
  }
}
