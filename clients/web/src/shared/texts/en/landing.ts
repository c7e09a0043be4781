import type * as vi from '../vi/landing'

export const landing: typeof vi.landing = {
  title: 'Meetings across many halls',
  choose: 'Who are you?',
  phone: 'Delegate',
  phone_hint: 'With a phone: check in, read papers, register to speak, ask questions.',
  hall: 'Computer of a hall',
  hall_hint: 'The one with the big screen, camera and microphone of the hall.',
  host: 'Organisers',
  host_hint: 'Run the meeting, lists, papers, questions.',
  have_code: 'Have a code? Enter it here',
}
