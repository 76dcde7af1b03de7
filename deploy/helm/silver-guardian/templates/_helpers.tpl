{{/* First part of every object's name: global.name, else the release's name. */}}
{{- define "guardian.name" -}}
{{- .Values.global.name | default .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* What each component runs and where it serves /health, /ready and /metrics; as the code has it. */}}
{{- define "guardian.components" -}}
intake: {command: [guardian, worker, intake], image: audio, port: 9100}
audio: {command: [guardian, worker, audio], image: audio, port: 8000}
video: {command: [guardian, worker, video], image: video, port: 8001}
aggregator: {command: [guardian, worker, aggregator], image: audio, port: 9100}
console: {command: [guardian, console, --port, "8080"], image: audio, port: 8080}
{{- end -}}

{{/* Labels that select a component's pods. Call with (dict "root" $ "component" NAME). */}}
{{- define "guardian.selector" -}}
app.kubernetes.io/name: silver-guardian
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of every object. Call with (dict "root" $ "component" NAME). */}}
{{- define "guardian.labels" -}}
{{ include "guardian.selector" . }}
app.kubernetes.io/part-of: silver-guardian
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end -}}

{{/* Whether a component runs as Jobs of a ScaledJob; empty for no. */}}
{{- define "guardian.asJobs" -}}
{{- $jobs := dig "scaledJobs" "workers" list .root.Values.keda -}}
{{- if and .root.Values.keda.enabled (has .component $jobs) }}true{{ end -}}
{{- end -}}

{{/* Image of a component: the GPU target where it asks for GPUs. */}}
{{- define "guardian.image" -}}
{{- $image := .root.Values.image -}}
{{- $tag := $image.tag | default .root.Chart.AppVersion -}}
{{- $registry := $image.registry | trimSuffix "/" -}}
{{- if $registry }}{{ $registry }}/{{ end -}}
{{- $kind := ternary "gpu" "cpu" (gt (int .values.gpus) 0) -}}
silver-guardian-{{ .spec.image }}:{{ $tag }}-{{ $kind }}
{{- with get $image.digests (printf "%s-%s" .spec.image $kind) }}@{{ . }}{{ end -}}
{{- end -}}

{{/* Whole cores of a CPU request: "2" is 2, 250m is 1. */}}
{{- define "guardian.cores" -}}
{{- $cpu := toString . -}}
{{- if hasSuffix "m" $cpu -}}
{{- div (add (trimSuffix "m" $cpu | int) 999) 1000 -}}
{{- else -}}
{{- ceil (float64 $cpu) -}}
{{- end -}}
{{- end -}}

{{/* Name of the Secret with the console's token. */}}
{{- define "guardian.tokenSecret" -}}
{{- .Values.console.tokenSecret | default (printf "%s-console" (include "guardian.name" .)) -}}
{{- end -}}
