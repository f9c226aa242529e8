{{- define "model-sidecar.fullname" -}}
{{- if .Values.fullnameOverride -}}{{ .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "model-sidecar.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "model-sidecar.labels" -}}
{{ include "model-sidecar.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "model-sidecar.image" -}}
{{- if .image.digest -}}{{ .image.repository }}@{{ .image.digest }}
{{- else -}}{{ .image.repository }}:{{ default .root.Chart.AppVersion .image.tag }}
{{- end -}}
{{- end -}}

{{/* Of containers: nobody's user, no capability, nothing to write to but volumes. `root` where node logs need it. */}}
{{- define "model-sidecar.securityContext" -}}
runAsNonRoot: {{ not .asRoot }}
runAsUser: {{ ternary 0 65532 (default false .asRoot) }}
runAsGroup: {{ ternary 0 65532 (default false .asRoot) }}
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
privileged: false
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Bytes of a quantity such as 1GiB, 8Gi, 512Mi. */}}
{{- define "model-sidecar.bytes" -}}
{{- $number := regexFind "^[0-9]+" . | int64 -}}
{{- $unit := regexFind "[KMGT]i" . -}}
{{- $factors := dict "" 1 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mul $number (get $factors $unit | int64) -}}
{{- end -}}

{{- define "model-sidecar.native" -}}
{{- $native := .Values.injection.native -}}
{{- if eq $native "auto" -}}{{ semverCompare ">=1.29-0" .Capabilities.KubeVersion.Version }}
{{- else -}}{{ eq $native "always" }}
{{- end -}}
{{- end -}}

{{- define "model-sidecar.config" -}}
{{ include "model-sidecar.fullname" . }}-config
{{- end -}}

{{- define "model-sidecar.certificate" -}}
{{- if eq .Values.webhook.certificate.source "existing" -}}
{{ required "webhook.certificate.secretName is needed with source: existing" .Values.webhook.certificate.secretName }}
{{- else -}}{{ include "model-sidecar.fullname" . }}-webhook
{{- end -}}
{{- end -}}

{{- define "model-sidecar.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What every pod that is not injected shares. priorityClassName: of its section of values. */}}
{{- define "model-sidecar.podSpec" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- include "model-sidecar.pullSecrets" .root }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Replicas on different nodes where possible, unless values say otherwise. */}}
{{- define "model-sidecar.affinity" -}}
{{- if .values.affinity -}}
{{- toYaml .values.affinity -}}
{{- else -}}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
  - weight: 100
    podAffinityTerm:
      topologyKey: kubernetes.io/hostname
      labelSelector:
        matchLabels: {{- include "model-sidecar.selector" . | nindent 10 }}
{{- end -}}
{{- end -}}

{{/* PodDisruptionBudget, and HorizontalPodAutoscaler where it is on. kind: what is scaled. */}}
{{- define "model-sidecar.availability" -}}
{{- $name := printf "%s-%s" (include "model-sidecar.fullname" .root) .component }}
{{- $metadata := printf "name: %s\nnamespace: %s\nlabels:%s" $name .root.Release.Namespace (include "model-sidecar.labels" . | nindent 2) }}
{{- if .root.Values.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{- $metadata | nindent 2 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "model-sidecar.selector" . | nindent 6 }}
{{- end }}
{{- with .values.autoscaling }}
{{- if .enabled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{- $metadata | nindent 2 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: {{ $.kind }}, name: {{ $name }}}
  minReplicas: {{ .minReplicas }}
  maxReplicas: {{ .maxReplicas }}
  metrics:
  - type: Resource
    resource:
      name: cpu
      target: {type: Utilization, averageUtilization: {{ .cpu }}}
{{- end }}
{{- end }}
{{- end -}}

{{/* Files of a sidecar that is not injected, by the size of its volume; and its time to drain in a grace of 60 s. */}}
{{- define "model-sidecar.dataEnv" -}}
{{- $bytes := include "model-sidecar.bytes" . | int64 -}}
- {name: SIDECAR_JOURNAL__PATH, value: /var/lib/sidecar/journal}
- {name: SIDECAR_JOURNAL__QUOTA_BYTES, value: {{ div $bytes 2 | toString | quote }}}
- {name: SIDECAR_JOURNAL__DEAD_LETTERS__MAX_BYTES, value: {{ div $bytes 16 | toString | quote }}}
- {name: SIDECAR_DELIVER__STORE__MAX_BYTES, value: {{ div $bytes 8 | toString | quote }}}
- {name: SIDECAR_RECEIVE__OTLP_GRPC__HOST, value: 0.0.0.0}
- {name: SIDECAR_RECEIVE__OTLP_HTTP__HOST, value: 0.0.0.0}
- {name: SIDECAR_SHUTDOWN__TIMEOUT, value: 55s}
- {name: TMPDIR, value: /var/lib/sidecar}
{{- end -}}

{{/* Probes of a program that serves them at a port of this name. */}}
{{- define "model-sidecar.probes" -}}
startupProbe:
  httpGet: {path: /startupz, port: {{ . }}}
  periodSeconds: 1
  failureThreshold: 120
livenessProbe:
  httpGet: {path: /livez, port: {{ . }}}
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: {{ . }}}
  timeoutSeconds: 5
{{- end -}}

{{- define "model-sidecar.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "model-sidecar.fullname" .root }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "model-sidecar.labels" . | nindent 4 }}
automountServiceAccountToken: false
{{- end -}}
