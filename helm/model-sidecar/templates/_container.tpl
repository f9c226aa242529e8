{{/*
The sidecar for charts that have this one as a dependency (`mode: library`), an element of `initContainers`:

  initContainers:
  {{ include "model-sidecar.container" (dict "root" . "service" "fraud" "container" "model") | nindent 8 }}
  volumes:
  {{ include "model-sidecar.volumes" (dict "root" .) | nindent 8 }}

root: the context; values are those of the dependency. service: service.name. container: the model's container.
The very container that `sidecar inject` makes; a test compares them.
*/}}
{{- define "model-sidecar.values" -}}
{{- toYaml (index .Values "model-sidecar" | default .Values) -}}
{{- end -}}

{{- define "model-sidecar.container" -}}
{{- $values := include "model-sidecar.values" .root | fromYaml -}}
{{- $bytes := include "model-sidecar.bytes" $values.injection.dataSize | int64 -}}
{{- $own := list -}}
{{- range $values.injection.env }}{{ $own = append $own .name }}{{ end -}}
{{- $version := (index .root.Subcharts "model-sidecar" | default .root).Chart.AppVersion -}}
- name: model-sidecar
  image: {{ include "model-sidecar.image" (dict "image" $values.image "root" (dict "Chart" (dict "AppVersion" $version))) }}
  imagePullPolicy: {{ $values.image.pullPolicy }}
  args: [run]
  env:
  {{- range $name, $path := dict "POD_NAME" "metadata.name" "POD_NAMESPACE" "metadata.namespace" "POD_UID" "metadata.uid" "NODE_NAME" "spec.nodeName" }}
  {{- if not (has $name $own) }}
  - name: {{ $name }}
    valueFrom:
      fieldRef:
        fieldPath: {{ $path }}
  {{- end }}
  {{- end }}
  {{- $set := dict "OTEL_SERVICE_NAME" (required "service: the name of the service" .service) "K8S_CONTAINER_NAME" (default "" .container)
      "SIDECAR_CONFIG" (ternary "/etc/sidecar/config/sidecar.yaml" "" $values.injection.configMap)
      "SIDECAR_JOURNAL__PATH" "/var/lib/sidecar/journal" "SIDECAR_JOURNAL__QUOTA_BYTES" (div $bytes 2 | toString)
      "SIDECAR_JOURNAL__DEAD_LETTERS__MAX_BYTES" (div $bytes 16 | toString) "SIDECAR_DELIVER__STORE__MAX_BYTES" (div $bytes 8 | toString)
      "SIDECAR_SHUTDOWN__TIMEOUT" "25s" "TMPDIR" "/var/lib/sidecar" }}
  {{- range $name, $value := $set }}
  {{- if and $value (not (has $name $own)) }}
  - name: {{ $name }}
    value: {{ $value | quote }}
  {{- end }}
  {{- end }}
  {{- with $values.injection.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  ports:
  - name: sidecar-metrics
    containerPort: 9464
    protocol: TCP
  startupProbe:
    httpGet: {path: /startupz, port: 9464}
    timeoutSeconds: 5
    periodSeconds: 1
    failureThreshold: 120
  livenessProbe:
    httpGet: {path: /livez, port: 9464}
    timeoutSeconds: 5
    periodSeconds: 10
    failureThreshold: 6
  resources: {{- toYaml $values.injection.resources | nindent 4 }}
  securityContext: {{- include "model-sidecar.securityContext" (dict "asRoot" false) | nindent 4 }}
  volumeMounts:
  - name: model-sidecar-data
    mountPath: /var/lib/sidecar
  {{- if $values.injection.configMap }}
  - name: model-sidecar-config
    mountPath: /etc/sidecar/config
    readOnly: true
  {{- end }}
  {{- with $values.injection.secret }}
  - name: model-sidecar-secrets
    mountPath: /etc/sidecar/secrets
    readOnly: true
  {{- end }}
  restartPolicy: Always
{{- end -}}

{{/* The volumes of that container. configMap: name of a ConfigMap with sidecar.yaml, where injection.configMap is set. */}}
{{- define "model-sidecar.volumes" -}}
{{- $values := include "model-sidecar.values" .root | fromYaml -}}
- name: model-sidecar-data
  emptyDir:
    sizeLimit: {{ trimSuffix "B" $values.injection.dataSize }}
{{- if $values.injection.configMap }}
- name: model-sidecar-config
  configMap:
    name: {{ required "configMap: the ConfigMap with sidecar.yaml" .configMap }}
{{- end }}
{{- with $values.injection.secret }}
- name: model-sidecar-secrets
  secret:
    secretName: {{ . }}
    defaultMode: 292
{{- end }}
{{- end -}}
