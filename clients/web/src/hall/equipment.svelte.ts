/** The hall's own camera and microphone: opened as chosen, opened again when pulled out and put back. */
import { keepChoice, keptChoice, openCamera, openMicrophone, type DeviceChoice } from '../shared/media/devices'
import { Meter } from '../shared/media/meter.svelte'

export class Equipment {
  choice = $state<DeviceChoice>(keptChoice())
  camera = $state.raw<MediaStreamTrack | null>(null)
  microphone = $state.raw<MediaStreamTrack | null>(null)
  cameraProblem = $state<string | null>(null)
  microphoneProblem = $state<string | null>(null)
  /** Switched off by the people in the hall, for a while. */
  cameraOff = $state(false)
  microphoneOff = $state(false)
  meter = $state.raw<Meter | null>(null)
  #opening: Promise<void> = Promise.resolve()

  constructor() {
    navigator.mediaDevices?.addEventListener('devicechange', this.#reopenLost)
  }

  /** Opens what is chosen, one attempt after the other. */
  open(): Promise<void> {
    this.#opening = this.#opening.then(async () => {
      await this.#openCamera()
      await this.#openMicrophone()
    })
    return this.#opening
  }

  choose(change: Partial<DeviceChoice>): void {
    this.choice = { ...this.choice, ...change }
    keepChoice(this.choice)
    if ('camera' in change) this.#close('camera')
    if ('microphone' in change || 'mixer' in change) this.#close('microphone')
    void this.open()
  }

  switchCamera(): void {
    this.cameraOff = !this.cameraOff
    if (this.camera) this.camera.enabled = !this.cameraOff
  }

  switchMicrophone(): void {
    this.microphoneOff = !this.microphoneOff
    if (this.microphone) this.microphone.enabled = !this.microphoneOff
  }

  end(): void {
    navigator.mediaDevices?.removeEventListener('devicechange', this.#reopenLost)
    this.#close('camera')
    this.#close('microphone')
  }

  async #openCamera(): Promise<void> {
    const { camera } = this.choice
    if (camera === null || this.camera?.readyState === 'live') return
    await openCamera(camera).then(
      (track) => {
        track.enabled = !this.cameraOff
        track.onended = () => this.#close('camera')
        this.camera = track
        this.cameraProblem = null
      },
      (code: string) => (this.cameraProblem = code),
    )
  }

  async #openMicrophone(): Promise<void> {
    const { microphone, mixer } = this.choice
    if (microphone === null || this.microphone?.readyState === 'live') return
    await openMicrophone(microphone, mixer).then(
      (track) => {
        track.enabled = !this.microphoneOff
        track.onended = () => this.#close('microphone')
        this.microphone = track
        this.meter = new Meter(track)
        this.microphoneProblem = null
      },
      (code: string) => (this.microphoneProblem = code),
    )
  }

  #close(which: 'camera' | 'microphone'): void {
    const track = this[which]
    this[which] = null
    track?.stop()
    if (which === 'microphone') {
      this.meter?.end()
      this.meter = null
      this.microphoneProblem = track && this.choice.microphone !== null ? 'no_microphone' : null
    } else {
      this.cameraProblem = track && this.choice.camera !== null ? 'no_camera' : null
    }
  }

  readonly #reopenLost = (): void => {
    void this.open()
  }
}
