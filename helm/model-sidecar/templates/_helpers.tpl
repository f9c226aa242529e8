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

{{/* What the Prometheus Operator's endpoints share. */}}
{{- define "model-sidecar.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}
