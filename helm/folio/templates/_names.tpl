{{/* The release's name with the chart's, once. */}}
{{- define "folio.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "folio.operator" -}}
{{ include "folio.fullname" . }}-operator
{{- end -}}

{{- define "folio.labels" -}}
{{ include "folio.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: folio
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* What finds the operator's pods; never changes, since a Deployment's selector cannot. */}}
{{- define "folio.selector" -}}
app.kubernetes.io/name: folio
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{/* The hook's pods: no Service, no disruption budget and no Deployment may take them for an operator. */}}
{{- define "folio.uninstallLabels" -}}
{{- include "folio.labels" . | replace "component: operator" "component: uninstall" -}}
{{- end -}}

{{- define "folio.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "folio.operator" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{/* (dict "root" $ "image" .Values.image "tag" "default tag"): registry, repository, and digest or tag. */}}
{{- define "folio.image" -}}
{{- $registry := .root.Values.imageRegistry | trimSuffix "/" -}}
{{- if $registry }}{{ $registry }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .tag }}{{ end }}
{{- end -}}

{{- define "folio.operatorImage" -}}
{{ include "folio.image" (dict "root" . "image" .Values.image "tag" .Chart.AppVersion) }}
{{- end -}}

{{- define "folio.servingImage" -}}
{{- $tag := printf "%s-%s" .Chart.AppVersion .Values.servingImage.engine -}}
{{ include "folio.image" (dict "root" . "image" .Values.servingImage "tag" $tag) }}
{{- end -}}

{{/* The two security contexts that the restricted Pod Security Standard asks for. The user is the image's, or one that
     OpenShift chooses. */}}
{{- define "folio.podSecurity" -}}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "folio.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}
