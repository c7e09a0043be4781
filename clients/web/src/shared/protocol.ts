/* Generated from schema.json by `npm run types`. Do not edit. */

export type AnyCommand =
  | EditMeeting
  | OpenMeeting
  | CloseMeeting
  | AddItem
  | EditItem
  | MoveItem
  | RemoveItem
  | SetCurrentItem
  | PutHall
  | PutDelegate
  | RemoveDelegate
  | RenewLink
  | CheckIn
  | CheckOut
  | Excuse
  | RequestFloor
  | WithdrawRequest
  | GiveFloor
  | TakeFloor
  | ExtendFloor
  | ShowHall
  | HearChair
  | AskQuestion
  | WithdrawQuestion
  | ApproveQuestion
  | AnswerQuestion
  | DismissQuestion
  | ShowQuestion
  | EditDocument
  | WithdrawDocument
  | OpenDocument
  | MakePoll
  | RemovePoll
  | OpenPoll
  | CastVote
  | ClosePoll
  | PublishPoll
  | ShowPoll
export type AnyRecord =
  | MeetingFacts
  | Item
  | Hall
  | Delegate
  | Attendance
  | HallCount
  | Speaker
  | Stage
  | Question
  | Document
  | Readership
  | Reading
  | Link
  | Poll
  | PollRoll
  | PollCount
  | Ballot
export type ErrorCode =
  | 'bad_request'
  | 'bad_token'
  | 'expired'
  | 'unauthorised'
  | 'not_found'
  | 'too_large'
  | 'too_many'
  | 'wrong_protocol'
  | 'unavailable'
  | 'internal'
  | 'media_down'
  | 'bad_sdp'
  | 'replaced'
  | 'not_allowed'
  | 'login_failed'
  | 'weak_password'
  | 'taken'
  | 'not_a_workbook'
  | 'no_lists_found'
  | 'not_a_pdf'
  | 'pdf_encrypted'
  | 'pdf_broken'
  | 'pdf_empty'
  | 'wrong_proof'
export type RefusalCode =
  | 'not_allowed'
  | 'not_found'
  | 'bad_value'
  | 'meeting_closed'
  | 'meeting_not_open'
  | 'meeting_open'
  | 'wrong_hall'
  | 'not_present'
  | 'present'
  | 'already_waiting'
  | 'floor_not_held'
  | 'turn_over'
  | 'too_many_pending'
  | 'already_decided'
  | 'not_approved'
  | 'in_use'
  | 'poll_open'
  | 'poll_not_open'
  | 'already_voted'
  | 'no_vote'

/**
 * Diemcau's wire, version 1.
 */
export interface Protocol {
  version: 1
}
/**
 * The command is durable and has been applied up to `rev`.
 */
export interface Accepted {
  ok: true
  rev: number
}
export interface Account {
  id: string
  login: string
  name: string
  role: 'host' | 'secretary' | 'technician'
}
export interface AddItem {
  type: 'agenda.add'
  id: string
  title: string
  presenter?: string
  duration_s?: number | null
}
/**
 * Write the answer; an unapproved question is approved by it.
 */
export interface AnswerQuestion {
  type: 'question.answer'
  id: string
  question: string
  answer: string
}
/**
 * Set the title, place and planned time; the first one makes the meeting.
 */
export interface EditMeeting {
  type: 'meeting.edit'
  id: string
  title: string
  place?: string
  planned_at?: number | null
}
export interface OpenMeeting {
  type: 'meeting.open'
  id: string
}
export interface CloseMeeting {
  type: 'meeting.close'
  id: string
}
export interface EditItem {
  type: 'agenda.edit'
  id: string
  item: string
  title: string
  presenter?: string
  duration_s?: number | null
}
/**
 * Put the item at the given place, 0 first.
 */
export interface MoveItem {
  type: 'agenda.move'
  id: string
  item: string
  place: number
}
export interface RemoveItem {
  type: 'agenda.remove'
  id: string
  item: string
}
export interface SetCurrentItem {
  type: 'agenda.current'
  id: string
  item: string | null
}
/**
 * Add a hall (`hall` absent) or correct one.
 */
export interface PutHall {
  type: 'roster.put_hall'
  id: string
  hall?: string | null
  line: HallLine
}
export interface HallLine {
  name: string
  unit: string
  convened: number | null
  technician: string
  phone: string
  chair: boolean
}
/**
 * Add a delegate (`delegate` absent) or correct one.
 */
export interface PutDelegate {
  type: 'roster.put_delegate'
  id: string
  delegate?: string | null
  line: DelegateLine
}
/**
 * `hall` is the full name of a hall in the same import or already in the meeting.
 */
export interface DelegateLine {
  hall: string
  name: string
  position: string
  unit: string
  phone: string
  role: 'guest' | 'official' | 'substitute'
  note: string
  order: number
}
export interface RemoveDelegate {
  type: 'roster.remove_delegate'
  id: string
  delegate: string
}
/**
 * Make the join links and QR codes given out so far for a hall or a delegate stop working.
 */
export interface RenewLink {
  type: 'roster.renew_link'
  id: string
  hall?: string | null
  delegate?: string | null
}
/**
 * A delegate's phone names nobody; staff name the delegate.
 */
export interface CheckIn {
  type: 'attendance.check_in'
  id: string
  delegate?: string | null
  mode?: 'in_hall' | 'online'
}
export interface CheckOut {
  type: 'attendance.check_out'
  id: string
  delegate?: string | null
}
/**
 * Accept an absence (vắng có lý do). An empty reason takes it back.
 */
export interface Excuse {
  type: 'attendance.excuse'
  id: string
  delegate: string
  reason: string
}
/**
 * Register to speak: a delegate for themself, a hall for itself.
 */
export interface RequestFloor {
  type: 'floor.request'
  id: string
  topic?: string
}
export interface WithdrawRequest {
  type: 'floor.withdraw'
  id: string
  speaker: string
}
/**
 * To a waiting speaker, or straight to a hall. Whoever speaks now is ended first.
 */
export interface GiveFloor {
  type: 'floor.give'
  id: string
  speaker?: string | null
  hall?: string | null
  duration_s?: number | null
}
/**
 * End the turn of whoever speaks.
 */
export interface TakeFloor {
  type: 'floor.take'
  id: string
}
/**
 * Allot the current speaker so many seconds more (less, if negative).
 */
export interface ExtendFloor {
  type: 'floor.extend'
  id: string
  add_s: number
}
/**
 * Put a hall's picture on the stage without giving it the floor; None takes it off.
 */
export interface ShowHall {
  type: 'stage.show'
  id: string
  hall: string | null
}
/**
 * Open or close the chair's microphone.
 */
export interface HearChair {
  type: 'stage.hear_chair'
  id: string
  heard: boolean
}
export interface AskQuestion {
  type: 'question.ask'
  id: string
  text: string
}
export interface WithdrawQuestion {
  type: 'question.withdraw'
  id: string
  question: string
}
export interface ApproveQuestion {
  type: 'question.approve'
  id: string
  question: string
}
export interface DismissQuestion {
  type: 'question.dismiss'
  id: string
  question: string
  reason: string
}
/**
 * Put an approved question on the hall pages, in place of the one shown, or take it off.
 */
export interface ShowQuestion {
  type: 'question.show'
  id: string
  question: string
  shown: boolean
}
export interface EditDocument {
  type: 'document.edit'
  id: string
  document: string
  title: string
  item?: string | null
}
export interface WithdrawDocument {
  type: 'document.withdraw'
  id: string
  document: string
}
/**
 * A reader opens it: the first time counts.
 */
export interface OpenDocument {
  type: 'document.open'
  id: string
  document: string
}
/**
 * Prepare a poll. `present_only`: only who is checked in may vote.
 */
export interface MakePoll {
  type: 'vote.make'
  id: string
  title: string
  item?: string | null
  present_only?: boolean
}
/**
 * Take away a poll that was never opened.
 */
export interface RemovePoll {
  type: 'vote.remove'
  id: string
  poll: string
}
export interface OpenPoll {
  type: 'vote.open'
  id: string
  poll: string
}
export interface CastVote {
  type: 'vote.cast'
  id: string
  poll: string
  choice: 'abstain' | 'no' | 'yes'
}
export interface ClosePoll {
  type: 'vote.close'
  id: string
  poll: string
}
/**
 * Let everyone see the result.
 */
export interface PublishPoll {
  type: 'vote.publish'
  id: string
  poll: string
}
/**
 * Put a poll that was opened on the hall pages and phones, in place of the one shown, or take it off.
 */
export interface ShowPoll {
  type: 'vote.show'
  id: string
  poll: string
  shown: boolean
}
/**
 * The one record that every audience has. Its id is "meeting".
 */
export interface MeetingFacts {
  kind: 'meeting'
  id: string
  title: string
  place: string
  planned_at: number | null
  state: 'closed' | 'open' | 'planned'
  opened_at: number | null
  closed_at: number | null
  item: string | null
}
/**
 * An agenda item. `order` sorts the agenda; it is unique.
 */
export interface Item {
  kind: 'item'
  id: string
  title: string
  presenter: string
  duration_s: number | null
  order: number
  began_at: number | null
  ended_at: number | null
}
/**
 * A physical room taking part (điểm cầu). `convened` is what the list of halls declares.
 *
 *     `epoch` goes up when the hall's join link is replaced: older links stop working.
 */
export interface Hall {
  kind: 'hall'
  id: string
  name: string
  unit: string
  order: number
  convened: number | null
  technician: string
  phone: string
  chair: boolean
  epoch: number
}
/**
 * A person with a seat. `order` is the running number of the list.
 */
export interface Delegate {
  kind: 'delegate'
  id: string
  hall: string
  name: string
  position: string
  unit: string
  phone: string
  role: 'guest' | 'official' | 'substitute'
  note: string
  order: number
  epoch: number
}
/**
 * A delegate's presence; its id is the delegate's. `excused` is the reason of an accepted absence.
 */
export interface Attendance {
  kind: 'attendance'
  id: string
  hall: string
  intervals: Interval[]
  excused: string | null
  excused_by: string | null
}
/**
 * One stretch of presence; `out_at` is None while it lasts. `by` is the actor who opened it.
 */
export interface Interval {
  in_at: number
  out_at: number | null
  mode: 'in_hall' | 'online'
  method: 'phone' | 'staff'
  by: string
}
/**
 * What the console shows of a hall's attendance; its id is the hall's.
 *
 *     convened: delegates on the list; present: now, of which `online` not in the hall; ever: present at some time.
 */
export interface HallCount {
  kind: 'hall_count'
  id: string
  convened: number
  present: number
  online: number
  ever: number
  excused: number
}
/**
 * One turn at the floor: waiting (`began_at` None), speaking (`ended_at` None) or over.
 *
 *     `delegate` is None when the hall itself speaks. `ends_at` is when the allotted time is used up; the floor is not
 *     taken by the clock.
 */
export interface Speaker {
  kind: 'speaker'
  id: string
  hall: string
  delegate: string | null
  name: string
  item: string | null
  topic: string
  turn: number
  asked_at: number
  began_at: number | null
  ends_at: number | null
  ended_at: number | null
}
/**
 * Which feed is in which slot. Its id is "stage".
 *
 *     video: the large picture and the small one beside it; audio: who is heard; None is an empty slot.
 *     shown: the hall that the host put on the stage; chair_heard: whether the chair's microphone is open.
 */
export interface Stage {
  kind: 'stage'
  id: string
  video: (string | null)[]
  audio: (string | null)[]
  shown: string | null
  chair_heard: boolean
}
/**
 * A question. `delegate` is None when a hall asks. `shown`: on the hall pages now.
 */
export interface Question {
  kind: 'question'
  id: string
  hall: string
  delegate: string | null
  name: string
  item: string | null
  text: string
  asked_at: number
  state: 'answered' | 'approved' | 'dismissed' | 'pending' | 'withdrawn'
  decided_at: number | null
  reason: string
  answer: string
  shown: boolean
}
/**
 * A published paper. `sha256` (hex) names the stored file; `searchable` is False for a scan without text.
 */
export interface Document {
  kind: 'document'
  id: string
  title: string
  filename: string
  item: string | null
  sha256: string
  size: number
  pages: number
  searchable: boolean
  published_at: number
  order: number
}
/**
 * How many have opened a document; its id is the document's. `halls` are the halls whose page has.
 */
export interface Readership {
  kind: 'readership'
  id: string
  halls: string[]
  delegates: number
}
/**
 * That one reader has opened one document; its id is "<document>:<reader>".
 */
export interface Reading {
  kind: 'reading'
  id: string
  document: string
  hall: string | null
  delegate: string | null
  opened_at: number
}
/**
 * A hall page's connection; its id is the hall's. `lost_s` sums its gaps, `drops` counts them.
 */
export interface Link {
  kind: 'link'
  id: string
  up: boolean
  since: number
  first_at: number
  lost_s: number
  drops: number
}
/**
 * A question put to the vote. `shown`: on the hall pages and phones now.
 *
 *     Frozen at the opening: `convened`, the delegates on the list who have a vote; `excused`, those of them who were
 *     never present and whose absence is accepted; `present`, those who were present.
 */
export interface Poll {
  kind: 'poll'
  id: string
  title: string
  item: string | null
  present_only: boolean
  state: 'closed' | 'created' | 'open' | 'published'
  made_at: number
  opened_at: number | null
  closed_at: number | null
  published_at: number | null
  convened: number
  excused: number
  present: number
  shown: boolean
  result: PollResult | null
}
/**
 * What is published. `late`: of the votes `cast`, those of delegates not present when the poll opened.
 */
export interface PollResult {
  cast: number
  late: number
  sums: Sums
}
export interface Sums {
  yes: number
  no: number
  abstain: number
}
/**
 * Who was present, with a vote, when the poll opened; its id is the poll's. For the record, sent to nobody.
 */
export interface PollRoll {
  kind: 'poll_roll'
  id: string
  present: string[]
}
/**
 * The turnout: of the whole poll (its id is the poll's) or of one hall ("<poll>:<hall>").
 *
 *     `convened` and `present` are frozen at the opening. `sums` are of the whole poll only: those of a small hall would
 *     tell how somebody voted.
 */
export interface PollCount {
  kind: 'poll_count'
  id: string
  poll: string
  hall: string | null
  convened: number
  present: number
  cast: number
  late: number
  closed: boolean
  sums: Sums | null
}
/**
 * One delegate's vote; its id is "<poll>:<delegate>". `hall` is where the delegate sat then.
 */
export interface Ballot {
  kind: 'ballot'
  id: string
  poll: string
  delegate: string
  hall: string
  choice: 'abstain' | 'no' | 'yes'
  cast_at: number
  late: boolean
}
export interface DelegatePage {
  total: number
  page: number
  pages: number
  rows: DelegateRow[]
}
/**
 * A line of the staff's delegate list.
 */
export interface DelegateRow {
  id: string
  hall: string
  line: DelegateLine
  code: string
  present: boolean
  intervals: Interval[]
  excused: string | null
}
/**
 * Nothing happened. `code` is stable: a refusal of the domain, or one of ErrorCode.
 */
export interface Denied {
  ok: false
  code: string
  field: string | null
}
/**
 * A row that the import could not take as it stands, or took with a change a clerk should look at.
 *
 *     `taken`: the row is imported all the same. `code` names the reason, `cells` are the row's cells as written,
 *     `hall` the hall it was (or would be) put in, `other_row` the row it repeats.
 */
export interface DoubtfulRow {
  sheet: string
  row: number
  code: string
  taken: boolean
  cells: string[]
  name: string
  hall: string | null
  other_row: number | null
}
/**
 * Event `downlink`: how much of the stage this client's own line carries, None while that is not known.
 */
export interface Downlink {
  rung: ('audio' | 'high' | 'low' | 'middle') | null
  estimate_bps: number | null
}
/**
 * One layer of a feed as it comes in. `wanted`: somebody receives it, so it is asked of the publisher.
 */
export interface FeedStats {
  feed: string
  rid: string | null
  codec: string
  active: boolean
  wanted: boolean
  packets: number
  bytes: number
  lost: number
  jitter_s: number
  key_frames: number
  key_frames_asked: number
  width: number
  height: number
  bps: number
}
/**
 * The first host's account, with the secret of the link that `make run` prints.
 */
export interface FirstRun {
  secret: string
  login: string
  name: string
  password: string
}
/**
 * Event `goodbye`: the server closes this connection. Come back with the same token only if `retry`.
 */
export interface Goodbye {
  code: string
  retry: boolean
}
/**
 * What staff hand to a hall. `encoder_url` and `encoder_token` are what OBS asks for (WHIP).
 */
export interface HallCard {
  hall: string
  code: string
  link: string
  delegates_link: string
  encoder_url: string
  encoder_token: string
}
/**
 * Joining by a hall's QR code: who it is, and as proof the last three digits of the phone number on the list.
 */
export interface HallJoin {
  token: string
  delegate: string
  proof: string
}
/**
 * One hall as it is now. `media` is its media connection, `rung` what its line carries of the stage.
 *
 *     `level` is its microphone's loudness in dBov, in steps of 6, -127 for silence.
 */
export interface HallPresence {
  hall: string
  online: boolean
  media: 'connected' | 'connecting' | 'disconnected' | 'none'
  camera: 'lost' | 'off' | 'ready' | 'sending'
  microphone: 'lost' | 'off' | 'ready' | 'sending'
  viewing: boolean
  trouble: 'no_camera' | 'no_media' | 'no_microphone' | 'none' | 'weak_line'
  level: number
  phones: number
  rung: ('audio' | 'high' | 'low' | 'middle') | null
  estimate_bps: number | null
}
/**
 * A name that the hall's QR page offers. `proof`: whether the list has a phone number to prove it by.
 */
export interface HallSeat {
  id: string
  name: string
  unit: string
  proof: boolean
}
export interface HallSeats {
  hall: string
  meeting: string
  seats: HallSeat[]
}
export interface Health {
  ok: boolean
  database: boolean
  media: boolean
}
/**
 * The first event of a connection. `since` with `log_id` asks for what was missed only.
 */
export interface Hello {
  protocol: number
  token: string
  log_id?: string | null
  since?: number | null
}
/**
 * A relay for the page's connection, with a credential of its own: an `RTCIceServer` as it stands.
 */
export interface IceServer {
  urls: string[]
  username: string
  credential: string
}
/**
 * Event `ice_servers`, endpoints only: use these for connections made from now on.
 */
export interface IceServers {
  servers: IceServer[]
}
/**
 * The six characters of a card; small letters, spaces and hyphens are forgiven.
 */
export interface JoinCode {
  code: string
}
/**
 * A token for Hello and for `Authorization: Bearer`; `page` is the path of the page that takes it.
 */
export interface JoinToken {
  token: string
  kind: 'delegate' | 'hall' | 'staff'
  page: string
}
export interface Login {
  login: string
  password: string
}
/**
 * Who the server takes this client for. `endpoint` names its feeds; None if it has no media.
 */
export interface Me {
  kind: 'delegate' | 'hall' | 'staff'
  id: string
  name: string
  role: ('host' | 'secretary' | 'technician') | null
  meeting: string
  hall: string | null
  endpoint: string | null
}
export interface MediaAnswer {
  ok: true
  sdp: string
}
/**
 * The page's one SDP offer; `slots` says what each mid is for (PROTOCOL.md, Media).
 */
export interface MediaOffer {
  sdp: string
  slots: {
    [k: string]: string
  }
}
/**
 * Event `media`: the node runs under this epoch (None: there is none now). When it differs, offer anew, and keep
 *     the connection that there is until the new one shows pictures.
 */
export interface MediaReset {
  epoch: string | null
}
/**
 * What the media node has counted since it started, for one meeting's endpoints; `age_s` is the figures' age.
 *
 *     `cpu_s`, `rss_bytes` and `dropped` (datagrams not sent because the socket was full) are the whole node's.
 */
export interface MediaStats {
  age_s: number
  cpu_s: number
  rss_bytes: number
  dropped: number
  peers: PeerStats[]
}
/**
 * One connection of an endpoint. `wanted`: what is asked of each of its sources, as `SourceWanted` tells it.
 */
export interface PeerStats {
  group: string
  endpoint: string
  state: 'closed' | 'connected' | 'connecting' | 'disconnected'
  srtp_profile: string
  packets_in: number
  packets_out: number
  bytes_in: number
  bytes_out: number
  rtt_s: number | null
  loss_out: number | null
  estimate_bps: number | null
  rung: ('audio' | 'high' | 'low' | 'middle') | null
  wanted: {
    [k: string]: string[]
  }
  feeds: FeedStats[]
  slots: SlotStats[]
}
/**
 * What goes out into one slot. `loss` (0 to 1) and `jitter_s` are the receiver's; `feed` and `rid` flow now.
 */
export interface SlotStats {
  slot: string
  feed: string | null
  rid: string | null
  packets: number
  bytes: number
  resent: number
  loss: number | null
  jitter_s: number | null
}
export interface MeetingSummary {
  id: string
  title: string
  place: string
  planned_at: number | null
  state: 'closed' | 'open' | 'planned'
  halls: number
  delegates: number
  created_at: number
}
export interface NewAccount {
  login: string
  name: string
  role: 'host' | 'secretary' | 'technician'
  password: string
}
export interface NewMeeting {
  title: string
  place?: string
  planned_at?: number | null
}
/**
 * The answer to a poll (PROTOCOL.md, HTTP instead of the socket): one of the two.
 *
 *     An empty patch says that nothing happened; its `rev` is the next poll's `since` all the same.
 */
export interface NextPatch {
  patch: Patch | null
  goodbye: Goodbye | null
}
/**
 * Event `patch`: what changed for this client up to `rev`.
 */
export interface Patch {
  rev: number
  put: (
    | MeetingFacts
    | Item
    | Hall
    | Delegate
    | Attendance
    | HallCount
    | Speaker
    | Stage
    | Question
    | Document
    | Readership
    | Reading
    | Link
    | Poll
    | PollRoll
    | PollCount
    | Ballot
  )[]
  drop: string[]
}
/**
 * Event `presence`, staff only: the halls whose state differs from the last one sent (all of them with `reset`).
 */
export interface Presence {
  reset: boolean
  halls: HallPresence[]
  phones: number
}
/**
 * The body of every HTTP error.
 */
export interface Problem {
  code: string
  field: string | null
}
export interface ReaderPage {
  total: number
  page: number
  pages: number
  rows: ReaderRow[]
}
export interface ReaderRow {
  name: string
  hall: string
  opened_at: number
}
/**
 * A hall page's own state, at most one a second; latest wins, never logged.
 *
 *     `camera` and `microphone`: it works and is not switched off, sent now or not. `still` is a small JPEG (base64, at
 *     most 10 KiB) of what its camera shows.
 */
export interface Report {
  camera: boolean
  microphone: boolean
  viewing: boolean
  trouble?: 'no_camera' | 'no_media' | 'no_microphone' | 'none' | 'weak_line'
  still?: string | null
}
export interface RosterImport {
  upload: string
  corrections?: RowCorrection[]
}
/**
 * What the clerk says of a doubtful row: put it in `hall` (full name), or leave it out.
 */
export interface RowCorrection {
  sheet: string
  row: number
  hall?: string | null
  skip?: boolean
}
export interface RosterImported {
  rev: number
  halls: number
  delegates: number
  new_halls: number
  new_delegates: number
  changed: number
  skipped: number
}
/**
 * What an import would do. `upload` names the checked file for the import call.
 */
export interface RosterPreview {
  upload: string
  halls: HallLine[]
  delegates: number
  new_halls: number
  new_delegates: number
  changed: number
  unchanged: number
  missing: number
  doubtful: DoubtfulRow[]
}
/**
 * A hall's latest small picture (base64 JPEG).
 */
export interface Still {
  hall: string
  jpeg: string
}
/**
 * Event `stills`, staff only: new pictures of the halls that this console named in `wall`.
 */
export interface Stills {
  stills: Still[]
}
/**
 * The halls whose pictures a console wants in its tile slots, in their order.
 */
export interface Tiles {
  halls: (string | null)[]
}
/**
 * The halls whose stills a console shows now; none when it shows no wall.
 */
export interface Wall {
  halls: string[]
}
/**
 * Event `wanted`, halls only: the layers of a source that somebody looks at now, by rid, smallest first.
 *
 *     A source without simulcast has the one layer "". `still`: somebody looks at the wall of stills.
 */
export interface Wanted {
  source: 'camera' | 'content' | 'microphone' | 'still'
  rids: string[]
}
/**
 * The answer to Hello. With `reset` the replica starts empty; otherwise this is a patch on what the client has.
 */
export interface Welcome {
  ok: true
  protocol: number
  log_id: string
  rev: number
  reset: boolean
  put: (
    | MeetingFacts
    | Item
    | Hall
    | Delegate
    | Attendance
    | HallCount
    | Speaker
    | Stage
    | Question
    | Document
    | Readership
    | Reading
    | Link
    | Poll
    | PollRoll
    | PollCount
    | Ballot
  )[]
  drop: string[]
  me: Me
  now: number
  media_epoch: string | null
  ice_servers: IceServer[]
}
