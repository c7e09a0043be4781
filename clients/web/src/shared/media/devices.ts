/** Cameras and microphones of this computer, and which of them its people chose. */
import type { OwnCode } from '../texts/vi/shared'

/** `null` means: none, on purpose; `''`: whichever the browser prefers. */
export interface DeviceChoice {
  camera: string | null
  microphone: string | null
  /** The sound comes from a mixing desk: leave it as it is. */
  mixer: boolean
}

const KEPT = 'diemcau.devices'
const CAMERA: MediaTrackConstraints = { width: { ideal: 1280, max: 1280 }, height: { ideal: 720, max: 720 }, frameRate: { ideal: 30, max: 30 } }

export function keptChoice(): DeviceChoice {
  const fallback: DeviceChoice = { camera: '', microphone: '', mixer: false }
  try {
    return { ...fallback, ...(JSON.parse(localStorage.getItem(KEPT) ?? '{}') as Partial<DeviceChoice>) }
  } catch {
    return fallback
  }
}

export function keepChoice(choice: DeviceChoice): void {
  localStorage.setItem(KEPT, JSON.stringify(choice))
}

export async function devices(kind: 'videoinput' | 'audioinput'): Promise<MediaDeviceInfo[]> {
  const all = (await navigator.mediaDevices?.enumerateDevices()) ?? []
  return all.filter((device) => device.kind === kind && device.deviceId && device.deviceId !== 'communications')
}

/** Raises an `OwnCode`. A device that is gone is replaced by any other. */
export async function openCamera(id: string): Promise<MediaStreamTrack> {
  const track = await open('video', id ? { ...CAMERA, deviceId: { ideal: id } } : CAMERA)
  track.contentHint = 'motion'
  return track
}

export function openMicrophone(id: string, mixer: boolean): Promise<MediaStreamTrack> {
  const processing = { echoCancellation: !mixer, noiseSuppression: !mixer, autoGainControl: !mixer }
  return open('audio', id ? { ...processing, deviceId: { ideal: id } } : processing)
}

async function open(kind: 'audio' | 'video', constraints: MediaTrackConstraints): Promise<MediaStreamTrack> {
  const missing: OwnCode = kind === 'audio' ? 'no_microphone' : 'no_camera'
  if (!navigator.mediaDevices) throw isSecureContext ? missing : ('insecure' satisfies OwnCode)
  const stream = await navigator.mediaDevices.getUserMedia({ [kind]: constraints }).catch((error: unknown) => {
    throw reasonFor(error, missing)
  })
  const [track] = stream.getTracks()
  if (!track) throw missing
  return track
}

function reasonFor(error: unknown, missing: OwnCode): OwnCode {
  const name = error instanceof DOMException ? error.name : ''
  if (name === 'NotAllowedError' || name === 'SecurityError') return 'device_denied'
  return name === 'NotReadableError' || name === 'AbortError' ? 'device_busy' : missing
}
