{{/*
Environment of a component: settings from the chart, then `settings`, then its own.
Call with (dict "root" $ "component" NAME "spec" SPEC "values" VALUES).
*/}}
{{- define "guardian.environment" -}}
{{- $g := .root.Values.global -}}
{{- $env := dict
  "AWS_REGION" $g.region
  "GUARDIAN_PREFIX" $g.prefix
  "GUARDIAN_REGION" $g.region
  "GUARDIAN_HOST" (ternary "::" "0.0.0.0" .root.Values.ipv6)
  "GUARDIAN_LOG_FORMAT" "json"
  "GUARDIAN_WORK_DIR" "/tmp/silver-guardian"
  "GUARDIAN_THREADS" (include "guardian.cores" .values.resources.requests.cpu)
-}}
{{- if ne .component "console" }}{{ $_ := set $env "GUARDIAN_METRICS_PORT" (toString .spec.port) }}{{ end -}}
{{- if hasKey .values "gpus" }}{{ $_ := set $env "GUARDIAN_DEVICE" (ternary "cuda" "cpu" (gt (int .values.gpus) 0)) }}{{ end -}}
{{- with $g.queueBaseUrl }}{{ $_ := set $env "GUARDIAN_QUEUE_BASE_URL" . }}{{ end -}}
{{- with $g.endpointUrl }}{{ $_ := set $env "AWS_ENDPOINT_URL" . }}{{ end -}}
{{- if include "guardian.asJobs" . }}{{ $_ := set $env "GUARDIAN_EXIT_AFTER_JOBS" "1" }}{{ end -}}
{{- if has .component (list "audio" "video" "aggregator") }}{{ $_ := set $env "GUARDIAN_GRACE_S" (sub .root.Values.gracePeriodS 30 | toString) }}{{ end -}}
{{- if include "guardian.signs" . }}{{ $_ := set $env "GUARDIAN_SIGNING_KEY_FILE" "/etc/silver-guardian/signing.pem" }}{{ end -}}
{{- if include "guardian.trusts" . }}{{ $_ := set $env "GUARDIAN_C2PA_TRUST_ANCHORS" "/etc/silver-guardian-trust/anchors.pem" }}{{ end -}}
{{- $env = mergeOverwrite $env .root.Values.settings .values.settings -}}
{{- range $name, $value := $env }}
{{- /* A number of a values file is a float, which toString writes as 1e+06. */}}
{{- if and (kindIs "float64" $value) (eq (floor $value) $value) }}{{ $value = int64 $value }}{{ end }}
- {name: {{ $name }}, value: {{ toString $value | quote }}}
{{- end }}
{{- with $g.credentialsSecret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ . }}, key: AWS_ACCESS_KEY_ID}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ . }}, key: AWS_SECRET_ACCESS_KEY}}
{{- end }}
{{- if eq .component "console" }}
- name: GUARDIAN_API_TOKEN
  valueFrom: {secretKeyRef: {name: {{ include "guardian.tokenSecret" .root }}, key: token}}
{{- end }}
{{- end -}}

{{/* Whether a component signs; empty for no. */}}
{{- define "guardian.signs" -}}
{{- if and .root.Values.signingSecret (has .component (list "aggregator" "console")) }}true{{ end -}}
{{- end -}}

{{/* Whether a component reads notes of origin and knows whom to trust; empty for no. */}}
{{- define "guardian.trusts" -}}
{{- if and .root.Values.trustAnchors (has .component (list "audio" "video")) }}true{{ end -}}
{{- end -}}

{{/* The one container of a component; same arguments. */}}
{{- define "guardian.container" -}}
name: {{ .component }}
image: {{ include "guardian.image" . }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
command: {{ toJson .spec.command }}
env:
  {{- include "guardian.environment" . | trim | nindent 2 }}
{{- with concat .root.Values.settingsFrom (.values.settingsFrom | default list) }}
envFrom:
  {{- range . }}
  - secretRef: {name: {{ . }}}
  {{- end }}
{{- end }}
ports:
  - {name: http, containerPort: {{ .spec.port }}}
startupProbe:
  # Models are verified before the port opens.
  httpGet: {path: /health, port: http}
  periodSeconds: 5
  failureThreshold: 60
livenessProbe:
  # Fails where a process hangs: one that waits for AWS, or for its longest job, is alive.
  httpGet: {path: /health, port: http}
  periodSeconds: 15
  timeoutSeconds: 5
  failureThreshold: 8
readinessProbe:
  httpGet: {path: /ready, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- if eq .component "console" }}
lifecycle:
  # Endpoints are taken out before the server stops; workers need none, SIGTERM stops their receiving.
  preStop: {sleep: {seconds: 5}}
{{- end }}
resources:
  {{- $resources := deepCopy .values.resources }}
  {{- /* A node without room for the scratch directory would evict the pod in the middle of a job. */}}
  {{- $_ := set $resources "requests" (merge $resources.requests (dict "ephemeral-storage" .values.scratch)) }}
  {{- if .values.gpus }}
  {{- $_ := set $resources "limits" (merge (dict .root.Values.gpu.resource (int .values.gpus)) ($resources.limits | default dict)) }}
  {{- end }}
  {{- toYaml $resources | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: scratch, mountPath: /tmp}
  {{- if include "guardian.signs" . }}
  - {name: signing, mountPath: /etc/silver-guardian, readOnly: true}
  {{- end }}
  {{- if include "guardian.trusts" . }}
  - {name: trust, mountPath: /etc/silver-guardian-trust, readOnly: true}
  {{- end }}
{{- end -}}

{{/* Metadata and spec of a component's pods; same arguments. */}}
{{- define "guardian.pod" -}}
{{- $env := mergeOverwrite (dict "GUARDIAN_DECODE_TIMEOUT_S" 600) .root.Values.settings .values.settings -}}
{{- if lt (float64 .root.Values.gracePeriodS) (addf $env.GUARDIAN_DECODE_TIMEOUT_S 60) -}}
{{- fail (printf "gracePeriodS (%v) must be GUARDIAN_DECODE_TIMEOUT_S (%v) and 60 more, or SIGTERM would kill %s's longest job." .root.Values.gracePeriodS $env.GUARDIAN_DECODE_TIMEOUT_S .component) -}}
{{- end -}}
{{- $gpus := int (.values.gpus | default 0) -}}
metadata:
  labels: # without versions: a release that changes nothing else restarts nothing
    {{- include "guardian.selector" . | nindent 4 }}
  {{- $annotations := dict -}}
  {{- if has .component (list "audio" "video") }}
  {{- /* A node is not taken away from under a job; spot reclaim still happens and is survived. */}}
  {{- $annotations = dict "karpenter.sh/do-not-disrupt" "true" "cluster-autoscaler.kubernetes.io/safe-to-evict" "false" -}}
  {{- end }}
  {{- with mergeOverwrite $annotations .root.Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "guardian.name" .root }}-{{ .component }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ ternary 60 .root.Values.gracePeriodS (has .component (list "intake" "console")) }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    seccompProfile: {type: RuntimeDefault}
  {{- with .root.Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- if $gpus }}
  {{- with .root.Values.gpu.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- end }}
  {{- with .root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with merge (dict) .values.nodeSelector (ternary .root.Values.gpu.nodeSelector dict (gt $gpus 0)) }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with concat .values.tolerations (ternary .root.Values.gpu.tolerations list (gt $gpus 0)) }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ $key }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "guardian.selector" $ | nindent 10 }}
    {{- end }}
  containers:
    -
      {{- include "guardian.container" . | nindent 6 }}
  volumes:
    - name: scratch
      emptyDir: {sizeLimit: {{ .values.scratch }}}
    {{- if include "guardian.signs" . }}
    - name: signing
      secret: {secretName: {{ .root.Values.signingSecret }}, defaultMode: 0440}
    {{- end }}
    {{- if include "guardian.trusts" . }}
    - name: trust
      configMap: {name: {{ .root.Values.trustAnchors }}}
    {{- end }}
{{- end -}}
