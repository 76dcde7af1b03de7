{{/* First part of every object's name: global.name, else the release's name. */}}
{{- define "keda.name" -}}
{{- .Values.global.name | default .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels of every object. Call with (dict "root" $ "component" NAME). */}}
{{- define "keda.labels" -}}
app.kubernetes.io/name: silver-guardian
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/part-of: silver-guardian
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end -}}

{{/* Full URL of a queue, or its bare name, which SQS looks up. Call with (dict "root" $ "queue" NAME). */}}
{{- define "keda.queueUrl" -}}
{{- $g := .root.Values.global -}}
{{- $name := printf "%s-%s" $g.prefix .queue -}}
{{- if $g.queueBaseUrl -}}{{ trimSuffix "/" $g.queueBaseUrl }}/{{ $name }}{{- else -}}{{ $name }}{{- end -}}
{{- end -}}

{{/* The SQS trigger. Call with (dict "root" $ "scaler" SCALER). */}}
{{- define "keda.sqsTrigger" -}}
- type: aws-sqs-queue
  metricType: AverageValue
  metadata:
    queueURL: {{ include "keda.queueUrl" (dict "root" .root "queue" .scaler.queue) }}
    queueLength: {{ mul .scaler.concurrency .scaler.messagesPerSlot | quote }}
    activationQueueLength: {{ .scaler.activation | quote }}
    awsRegion: {{ .root.Values.global.region }}
    scaleOnInFlight: "true"
    {{- with .root.Values.global.endpointUrl }}
    awsEndpoint: {{ . }}
    {{- end }}
  authenticationRef:
    name: {{ include "keda.name" .root }}-queues
{{- end -}}
