// Every word that people read, in English and Korean: [en, ko] by name.

import PROBLEMS from "./problems.js";

const WORDS = {
  skip: ["Skip to the content", "본문으로 건너뛰기"], pages: ["Pages", "페이지"], colours: ["Colours", "화면 색"],
  theme_auto: ["Auto", "자동"], theme_light: ["Light", "밝게"], theme_dark: ["Dark", "어둡게"],
  queues: ["Queues", "대기열"], jobs: ["Jobs", "작업"], job: ["Job", "작업"], submit: ["Submit", "올리기"],
  letters: ["Dead letters", "실패한 메시지"], live: ["live", "실시간"], offline: ["offline", "연결 끊김"],
  loading: ["Loading …", "불러오는 중…"], log_in: ["Log in", "로그인"], log_out: ["Log out", "로그아웃"], token: ["Access token", "접근 토큰"],
  yes: ["Yes", "예"], cancel: ["Cancel", "취소"], all: ["all", "전체"], done: ["done", "완료"], open: ["not yet", "진행 전"],
  type_to_confirm: ["Type {n} to confirm:", "확인하려면 {n} 을(를) 입력하세요:"],
  n_seconds: ["{n} s", "{n}초"], n_minutes: ["{n} min", "{n}분"], n_hours: ["{n} h", "{n}시간"], n_days: ["{n} days", "{n}일"], per_minute: ["/min", "/분"],

  queue_uploads: ["Uploads", "업로드"], queue_audio: ["Audio", "음성"], queue_video: ["Video", "영상"], queue_aggregate: ["Verdicts", "판정"],
  arrivals: ["Arriving", "들어오는 작업"], mean_length: ["Usual length", "평균 길이"], workers_alive: ["Workers alive", "실행 중인 작업자"], dead_letters: ["Dead letters", "실패한 메시지"],
  visible: ["Waiting", "대기"], in_flight: ["In work", "처리 중"], delayed: ["Delayed", "지연"], oldest: ["Oldest", "가장 오래된 것"],
  done_rate: ["Done", "처리 속도"], backlog: ["Backlog", "밀린 분량"], eta: ["Empty in", "예상 소요"], last_hour: ["messages in the last hour", "지난 한 시간의 메시지 수"],
  n_dead: ["dead letters: {n}", "실패한 메시지 {n}건"], no_dead: ["no dead letters", "실패한 메시지 없음"],
  pause: ["Pause", "일시 중지"], resume: ["Resume", "다시 시작"], paused: ["paused", "중지됨"], resumed: ["resumed", "다시 시작함"],
  paused_by: ["Paused by {n} at {at}.", "{at}에 {n} 님이 중지했습니다."], pause_title: ["Pause {n}?", "{n} 대기열을 중지할까요?"],
  pause_text: ["Workers finish what they have and take nothing new until you resume.", "작업자는 하던 일을 마치고, 다시 시작할 때까지 새 작업을 받지 않습니다."],
  probes: ["Known clips", "기준 영상"], probe_right: ["right", "맞음"], probe_wrong: ["wrong", "틀림"], probe_late: ["late", "늦음"], probe_failed: ["failed", "실패"],
  sampling: ["Asking the queues …", "대기열을 확인하는 중…"], workers: ["Workers", "작업자"], no_workers: ["No worker has been heard in the last half minute.", "지난 30초 동안 응답한 작업자가 없습니다."],
  role: ["Role", "역할"], process: ["Process", "프로세스"], doing: ["Working on", "하는 일"], models: ["Models", "모델"], since: ["Since", "시작"], idle: ["idle", "쉬는 중"],
  role_intake: ["Intake", "접수"], role_audio: ["Audio", "음성"], role_video: ["Video", "영상"], role_aggregator: ["Aggregator", "판정"],
  audit: ["What people did", "사람이 한 일"], older_acts: ["Older", "더 오래된 기록"], no_audit: ["Nothing has been done by hand.", "사람이 한 일이 없습니다."],
  time: ["Time", "시각"], who: ["Who", "누가"], action: ["Action", "한 일"], target: ["Target", "대상"],
  action_pause: ["paused", "일시 중지"], action_resume: ["resumed", "다시 시작"], action_redrive: ["redrove", "다시 보냄"], action_discard: ["discarded", "버림"],
  action_retry: ["repeated", "다시 분석"], action_erase: ["erased", "지움"], action_upload: ["uploaded", "올림"], action_feedback: ["labelled", "실제 여부 기록"],
  act_failed: ["not completed", "완료되지 않음"], detail_all: ["all", "전체"], detail_genuine: ["genuine", "조작 아님"], detail_manipulated: ["manipulated", "조작됨"],

  state_queued: ["waiting", "대기 중"], state_running: ["being analysed", "분석 중"], state_complete: ["complete", "완료"], state_rejected: ["rejected", "거절됨"], state_failed: ["failed", "실패"],
  label_likely_authentic: ["no clear signs", "뚜렷한 조작 흔적 없음"], label_suspicious: ["some signs", "의심스러움"], label_likely_manipulated: ["probably manipulated", "조작 가능성 높음"],
  label_inconclusive: ["unclear", "판단하기 어려움"], label_not_applicable: ["nothing to examine", "분석할 것 없음"], label_failed: ["failed", "실패"],
  status: ["State", "상태"], label: ["Result", "결과"], hours: ["Received", "접수"], last_n: ["last {n}", "최근 {n}"], text: ["Search", "검색"], text_hint: ["file, job or reason", "파일, 작업 번호, 사유"],
  result: ["Result", "결과"], file: ["File", "파일"], probability: ["Probability", "확률"], size: ["Size", "크기"], received: ["Received", "접수"],
  as_of: ["As it was {n} ago.", "{n} 전의 상태입니다."],
  looked_at: ["The newest {n} have been looked through; “Older” looks further down.", "최근 {n}건을 살펴봤습니다. ‘더 오래된 작업’을 누르면 그 아래를 찾습니다."],
  older: ["Older", "더 오래된 작업"], newer: ["Newer", "더 최근 작업"], no_jobs: ["No job fits.", "해당하는 작업이 없습니다."],

  not_yet: ["The upload has not been taken in yet; this page shows the job as soon as it is.", "아직 접수되지 않았습니다. 접수되면 여기에 바로 표시됩니다."],
  finished: ["The analysis is finished.", "분석이 끝났습니다."], progress: ["Progress", "진행 상황"],
  step_received: ["received", "접수"], step_audio: ["voice", "목소리"], step_video: ["picture", "화면"], step_verdict: ["verdict", "판정"],
  next_step: ["What to do:", "이렇게 하세요:"], cache_hit: ["The same file was examined before; results from then were used here.", "전에 분석한 파일과 같아 그때의 결과를 사용했습니다."],
  limits: ["What this can and cannot tell you", "이 결과의 한계"], limits_short: ["This is an estimate. It can be wrong in both directions.", "추정한 결과이며 양쪽으로 모두 틀릴 수 있습니다."],
  between: ["between {n} and {m}", "{n}에서 {m} 사이"],
  prior_label: ["Manipulated among such recordings, before looking:", "분석하기 전, 이런 파일 가운데 조작된 비율:"],
  prior_means: ["If {n} of such recordings are manipulated, about {m} of 100 with this result are.", "이런 파일의 {n}가 조작된 것이라면, 이 결과가 나온 100건 중 약 {m}건이 조작된 것입니다."],
  audio: ["Voice", "목소리"], video: ["Picture", "화면"], not_done: ["Not examined yet.", "아직 분석하지 않았습니다."], not_examined: ["Not examined.", "분석하지 않았습니다."],
  llr: ["Evidence (log-likelihood ratio)", "증거의 크기(로그 우도비)"], analysed_s: ["Length examined", "분석한 길이"], speech_s: ["Speech heard", "말소리 길이"], windows: ["Pieces of sound scored", "점수를 낸 소리 구간"],
  frames_sampled: ["Pictures looked at", "살펴본 화면 수"], faces: ["Faces scored", "점수를 낸 얼굴 수"], dropped: ["Left out", "제외한 것"], attempt: ["Attempt", "시도 횟수"],
  findings: ["What was noticed", "눈에 띈 점"], ruled_out: ["(ruled out: {n})", "(원인에서 제외: {n})"], picture_at: ["A part of the picture at {n} that was scored", "{n} 화면에서 분석에 쓴 부분"],
  persons: ["The faces, one by one", "얼굴별 결과"], persons_help: ["Those that are seen longest, and those that look most manipulated.", "가장 오래 보이는 얼굴과 조작이 가장 의심되는 얼굴입니다."], face: ["Face {n}", "{n}번 얼굴"],
  gone: ["no longer there", "더 이상 없음"], pictures: ["The pictures behind this", "근거가 된 화면"],
  pictures_help: ["Parts of the recording that were scored, not marks of what is wrong in them.", "분석에 쓴 화면이며, 잘못된 부분을 표시한 것은 아닙니다."],
  timeline: ["Where in the recording", "어느 부분인가"], timeline_help: ["The higher and redder a bar, the more that moment looks manipulated. The dashed line is the middle.", "막대가 높고 붉을수록 그 순간이 조작된 것처럼 보인다는 뜻입니다. 점선은 중간입니다."],
  spectrogram: ["The sound: pitch upwards, loudness as brightness", "소리: 위로 갈수록 높은 음, 밝을수록 큰 소리"], no_timeline: ["Nothing was scored over time.", "시간대별로 계산한 결과가 없습니다."],
  timeline_label: ["{n} over time; highest {m} at {at}", "시간에 따른 {n}, {at}에 최고 {m}"], up_to: ["up to {n}", "최고 {n}"],
  earlier: ["Earlier verdicts on this file", "이 파일에 대한 이전 판정"],
  way: ["The way through the system", "처리 과정"], decided: ["Decided", "판정"], took: ["Took in all", "전체 소요 시간"], waited: ["Of that, waiting and handing over", "그중 대기와 전달"], media: ["Media", "형식"], object: ["Object", "저장 위치"],
  stage_lips_and_sequence: ["lips and order of pictures", "입 모양과 화면 흐름"],
  shadow_flip: ["Models on trial would say otherwise: {n} ({m}).", "시험 중인 모델은 다르게 판정합니다: {n} ({m})."], shadow_same: ["Models on trial would say the same: {n} ({m}).", "시험 중인 모델도 같게 판정합니다: {n} ({m})."],
  telling: ["Telling others", "외부 알림"], telling_pending: ["not yet delivered", "전달 대기 중"], telling_delivered: ["delivered", "전달됨"], telling_gave_up: ["given up", "전달 포기"],
  stage_fetch: ["fetched", "가져오기"], stage_decode: ["decoded", "디코딩"], stage_speech: ["speech found", "말소리 찾기"], stage_score: ["scored", "점수 계산"], stage_find: ["faces found", "얼굴 찾기"], stage_stability: ["checked again", "다시 확인"],
  turned_out: ["What it turned out to be", "실제로 확인된 결과"], turned_out_help: ["For counts of false alarms and for calibration; the verdict stays as it is.", "오탐 집계와 보정에 쓰며, 판정은 바뀌지 않습니다."],
  turned_out_genuine: ["It is genuine", "조작되지 않았음"], turned_out_manipulated: ["It is manipulated", "조작되었음"], turned_out_noted: ["Noted as {n}, {at}.", "{at}에 ‘{n}’으로 기록했습니다."],
  save_page: ["Download the report", "보고서 내려받기"], save_json: ["Download JSON", "JSON 내려받기"], retry: ["Analyse again", "다시 분석"], erase: ["Erase", "지우기"], erased: ["erased", "지웠습니다"],
  erased_by: ["Erased by {n} at {at}; this receipt is all that is left.", "{at}에 {n} 님이 지웠습니다. 남은 것은 삭제 확인서뿐입니다."], save_receipt: ["Download the receipt", "삭제 확인서 내려받기"],
  retry_text: ["The verdict is taken back until the new one is there.", "새 결과가 나올 때까지 지금 결과는 사라집니다."],
  erase_text: ["Upload, evidence, reports and the job are removed for good.", "올린 파일, 근거 화면, 보고서, 작업이 모두 영구히 지워집니다."],

  drop_here: ["Drop recordings here, or choose files", "녹화나 녹음 파일을 여기에 놓거나 고르세요"], drop_hint: ["Video or sound, up to {n}; sent straight to storage.", "영상이나 소리 파일, 최대 {n}. 저장소로 바로 전송됩니다."],
  read_only: ["This token may look, not change.", "이 토큰으로는 볼 수만 있습니다."], uploading: ["Uploading {n}", "{n} 올리는 중"], see_job: ["See the job", "작업 보기"],

  letters_cut: ["Only {n} are listed; there may be more. What is done to all is done to those, too.", "{n}건까지만 표시합니다. 더 있을 수 있으며, ‘모두’ 처리하면 표시되지 않은 메시지도 함께 처리합니다."],
  no_letters: ["No dead letters here.", "실패한 메시지가 없습니다."], message: ["Message", "메시지"], receives: ["Attempts", "시도 횟수"],
  redrive: ["Send back", "다시 보내기"], redrive_all: ["Send all back", "모두 다시 보내기"], discard: ["Discard", "버리기"], discard_all: ["Discard all", "모두 버리기"], discarded: ["discarded", "버렸습니다"],
  n_redriven: ["{n} sent back", "{n}건을 다시 보냈습니다"], discard_title: ["Discard for good?", "영구히 버릴까요?"], discard_text: ["Discarded messages cannot be brought back.", "버린 메시지는 되돌릴 수 없습니다."],
  cause_unparsable_event: ["Not an upload notification", "업로드 알림이 아님"], cause_wrong_bucket: ["About another bucket", "다른 버킷에 관한 것"], cause_task_failed: ["The analysis failed at every attempt", "모든 시도에서 분석 실패"], cause_job_gone: ["The job was erased", "작업이 지워짐"], cause_not_processed: ["No worker finished it", "끝까지 처리한 작업자가 없음"],
  ...PROBLEMS,
};

const KEY = "guardian-language";
let chosen = localStorage.getItem(KEY) || (navigator.language.startsWith("ko") ? "ko" : "en");

export const language = () => chosen;

export function chooseLanguage(name) {
  chosen = name;
  localStorage.setItem(KEY, name);
}

// The phrases for detectors' codes, which the server has: {en, ko} by code.
let phrases = {};

export function learn(table) {
  phrases = table;
}

// Returns the phrase for a detector's code; the code in plain letters where it is new.
export const phrase = (code) => phrases[code]?.[chosen] ?? code.replaceAll("_", " ");

// Returns a word in the chosen language, with {names} filled in; `other` where there is none.
export function word(name, values = {}, other = name) {
  const pair = Object.hasOwn(WORDS, name) ? WORDS[name] : null;
  const text = pair ? pair[chosen === "ko" ? 1 : 0] : other;
  return text.replace(/\{(\w+)\}/g, (all, key) => (key in values ? String(values[key]) : all));
}
