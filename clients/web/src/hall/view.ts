/** What a hall sees on its big screen, worked out from the stage and who this hall is. */
import { hallOf } from '../shared/media/slots'
import type { Downlink, Speaker, Stage } from '../shared/protocol'

/** A picture: one of the stage's slots, or the hall's own camera. */
export type Picture = 'stage.0' | 'stage.1' | 'own' | 'none'

export interface HallView {
  readonly large: Picture
  readonly small: Picture
  /** Others see this hall large. */
  readonly onStage: boolean
  /** Others hear this hall. */
  readonly heard: boolean
  readonly hasFloor: boolean
}

export type LineLook = 'lost' | 'no_media' | 'sound_only' | 'low' | 'weak' | 'good'

/** What the technician has to know of the hall's own line, the worst first. */
export function lineLook(line: { online: boolean; media: boolean; rung: Downlink['rung']; weak: boolean }): LineLook {
  if (!line.online) return 'lost'
  if (!line.media) return 'no_media'
  if (line.rung === 'audio') return 'sound_only'
  if (line.weak) return 'weak'
  return line.rung === 'low' ? 'low' : 'good'
}

/** A hall on the stage looks at the others; its own picture is the small one, so that it sees what it sends. */
export function hallView(stage: Stage | undefined, turn: Speaker | undefined, hall: string): HallView {
  const [first, second] = [hallOf(stage?.video[0]), hallOf(stage?.video[1])]
  const onStage = first === hall
  const heard = stage?.audio.some((feed) => hallOf(feed) === hall) ?? false
  const pictures = onStage ? besideOneself(second) : besideOthers(first, second, hall)
  return { ...pictures, onStage, heard, hasFloor: turn?.hall === hall }
}

function besideOneself(second: string | undefined): Pick<HallView, 'large' | 'small'> {
  return second ? { large: 'stage.1', small: 'own' } : { large: 'own', small: 'none' }
}

function besideOthers(first: string | undefined, second: string | undefined, hall: string): Pick<HallView, 'large' | 'small'> {
  const small = !second ? 'none' : second === hall ? 'own' : 'stage.1'
  return { large: first ? 'stage.0' : 'none', small }
}
