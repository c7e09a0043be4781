/** A small still of a playing video, for whoever cannot be sent all halls' live pictures. */
const WIDTH_PX = 240
const LONGEST = 10 * 1024
const QUALITIES = [0.6, 0.4, 0.25]

/** Base64 JPEG; undefined while there is no picture. */
export function still(video: HTMLVideoElement): string | undefined {
  const { videoWidth, videoHeight } = video
  if (!videoWidth || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return undefined
  const canvas = document.createElement('canvas')
  canvas.width = WIDTH_PX
  canvas.height = Math.round((WIDTH_PX * videoHeight) / videoWidth)
  canvas.getContext('2d')?.drawImage(video, 0, 0, canvas.width, canvas.height)
  const tries = QUALITIES.map((quality) => () => canvas.toDataURL('image/jpeg', quality).split(',')[1])
  for (const attempt of tries) {
    const jpeg = attempt()
    if (jpeg && jpeg.length <= LONGEST) return jpeg
  }
  return undefined
}
