{{/* The pod: its annotations, its labels and what is in it. */}}

{{- define "tallygate.podMetadata" -}}
{{- $annotations := deepCopy (.Values.podAnnotations | default dict) -}}
{{- with (.Values.tallygate).config }}
{{/* Changed settings replace the pod. */}}
{{- $_ := set $annotations "checksum/tallygate-config" (include "tallygate.toml" $ | sha256sum) }}
{{- end -}}
{{- with (.Values.database).url }}
{{/* The gateway reads it when it starts. */}}
{{- $_ := set $annotations "checksum/tallygate-database" (sha256sum .) }}
{{- end -}}
labels:
  {{- include "tallygate.labels" . | nindent 2 }}
{{- include "tallygate.optional" (list "annotations" $annotations 0) }}
{{- end -}}

{{- define "tallygate.arguments" -}}
{{- range .Values.extraArgs }}
- {{ toString . | quote }}
{{- end }}
{{- if .Values.webConfiguration }}
- --web.config.file=/etc/config/web-config.yaml
{{- end }}
{{- if (.Values.tallygate).config }}
- --config.file=/etc/tallygate/tallygate.toml
{{- end }}
{{- end -}}

{{- define "tallygate.environment" -}}
{{- $variables := .Values.extraVars | default list -}}
{{- if include "tallygate.databaseSecret" . -}}
{{- $file := dict "name" "TALLYGATE_PERSISTENCE__POSTGRES_FILE" "value" "/etc/tallygate/database/url" -}}
{{- $variables = append $variables $file -}}
{{- end -}}
{{- include "tallygate.optional" (list "env" $variables 0) -}}
{{- end -}}

{{- define "tallygate.volumeMounts" -}}
{{- if not (include "tallygate.database" .) }}
- name: storage-volume
  mountPath: {{ .Values.persistentVolume.mountPath | quote }}
  {{- with .Values.persistentVolume.subPath }}
  subPath: {{ . | quote }}
  {{- end }}
{{- end }}
{{- if include "tallygate.databaseSecret" . }}
- name: tallygate-database
  mountPath: /etc/tallygate/database
  readOnly: true
{{- end }}
{{- if .Values.webConfiguration }}
- name: web-config
  mountPath: /etc/config
{{- end }}
{{- if (.Values.tallygate).config }}
- name: tallygate-config
  mountPath: /etc/tallygate/tallygate.toml
  subPath: tallygate.toml
  readOnly: true
{{- end }}
{{- if ((.Values.tallygate).tokens).existingSecret }}
- name: tallygate-tokens
  mountPath: /etc/tallygate/tokens
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tallygate.volumes" -}}
{{- $claim := .Values.persistentVolume -}}
{{- if include "tallygate.database" . }}
{{- with include "tallygate.databaseSecret" . }}
- name: tallygate-database
  secret:
    secretName: {{ . }}
    items:
      - key: {{ ternary "url" ($.Values.database.key | default "url") (not (empty $.Values.database.url)) }}
        path: url
{{- end }}
{{- else if not $claim.enabled }}
- name: storage-volume
  emptyDir:
    {{- $claim.emptyDir | default dict | toYaml | nindent 4 }}
{{- else if not .Values.runAsStatefulSet }}
- name: storage-volume
  persistentVolumeClaim:
    claimName: {{ $claim.existingClaim | default (include "tallygate.fullname" .) }}
{{- end }}
{{- if .Values.webConfiguration }}
- name: web-config
  secret:
    secretName: {{ include "tallygate.webSecret" . }}
{{- end }}
{{- if (.Values.tallygate).config }}
- name: tallygate-config
  configMap:
    name: {{ include "tallygate.fullname" . }}
{{- end }}
{{- with ((.Values.tallygate).tokens).existingSecret }}
- name: tallygate-tokens
  secret:
    secretName: {{ . }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tallygate.affinity" -}}
{{- $affinity := deepCopy (.Values.affinity | default dict) -}}
{{- $others := dict
    "topologyKey" .Values.podAntiAffinityTopologyKey
    "labelSelector" (dict "matchExpressions" (list (dict
        "key" "app.kubernetes.io/name" "operator" "In" "values" (list (include "tallygate.name" .))))) -}}
{{- $kind := .Values.podAntiAffinity | default "" -}}
{{- if and (include "tallygate.shared" .) (not $affinity.podAntiAffinity) (not .Values.topologySpreadConstraints) }}
{{- $kind = $kind | default "soft" }}
{{- end }}
{{- if eq $kind "hard" }}
{{- $_ := set $affinity "podAntiAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $others)) }}
{{- else if eq $kind "soft" }}
{{- $preferred := dict "weight" 100 "podAffinityTerm" $others }}
{{- $_ := set $affinity "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" (list $preferred)) }}
{{- end -}}
{{- include "tallygate.optional" (list "affinity" $affinity 0) -}}
{{- end -}}

{{- define "tallygate.container" -}}
name: pushgateway
image: {{ include "tallygate.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- include "tallygate.environment" . }}
{{- with include "tallygate.arguments" . | trim }}
args:
  {{- . | nindent 2 }}
{{- end }}
ports:
  - name: metrics
    containerPort: 9091
    protocol: TCP
{{- if .Values.liveness.enabled }}
{{- if (.Values.startupProbe).enabled }}
startupProbe:
  {{- include "tallygate.startupProbe" . | trim | nindent 2 }}
{{- end }}
livenessProbe:
  {{- include "tallygate.probe" (list . .Values.liveness.probe) | trim | nindent 2 }}
{{- end }}
{{- if .Values.readiness.enabled }}
readinessProbe:
  {{- include "tallygate.probe" (list . .Values.readiness.probe) | trim | nindent 2 }}
{{- end }}
{{- include "tallygate.optional" (list "resources" .Values.resources 0) }}
{{- include "tallygate.optional" (list "securityContext" .Values.containerSecurityContext 0) }}
{{- include "tallygate.optional" (list "lifecycle" .Values.lifecycle 0) }}
{{- with include "tallygate.volumeMounts" . | trim }}
volumeMounts:
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "tallygate.podSpec" -}}
serviceAccountName: {{ include "tallygate.serviceAccountName" . }}
automountServiceAccountToken: {{ .Values.automountServiceAccountToken }}
{{- with .Values.terminationGracePeriodSeconds }}
terminationGracePeriodSeconds: {{ int . }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- include "tallygate.optional" (list "hostAliases" .Values.hostAliases 0) }}
{{- $secrets := (.Values.global).imagePullSecrets | default .Values.imagePullSecrets }}
{{- include "tallygate.optional" (list "imagePullSecrets" $secrets 0) }}
{{- include "tallygate.optional" (list "initContainers" .Values.extraInitContainers 0) }}
containers:
  {{- with .Values.extraContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  - {{- include "tallygate.container" . | nindent 4 }}
{{- include "tallygate.optional" (list "nodeSelector" .Values.nodeSelector 0) }}
{{- include "tallygate.optional" (list "tolerations" .Values.tolerations 0) }}
{{- include "tallygate.affinity" . }}
{{- include "tallygate.optional" (list "topologySpreadConstraints" .Values.topologySpreadConstraints 0) }}
{{- include "tallygate.optional" (list "securityContext" .Values.securityContext 0) }}
{{- with include "tallygate.volumes" . | trim }}
volumes:
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}
