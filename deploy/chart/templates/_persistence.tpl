{{/* The persistence file, from wherever it is named: flags, environment, settings. */}}
{{- define "tallygate.file" -}}
{{- $file := dig "persistence" "file" "" ((.Values.tallygate).config | default dict) -}}
{{- range .Values.extraVars }}
{{- if eq .name "TALLYGATE_PERSISTENCE__FILE" }}{{ $file = .value | default "" }}{{ end }}
{{- end }}
{{- $next := false -}}
{{- range .Values.extraArgs }}
{{- if $next }}{{ $file = toString . }}{{ end }}
{{- $next = eq (toString .) "--persistence.file" }}
{{- if hasPrefix "--persistence.file=" (toString .) }}{{ $file = trimPrefix "--persistence.file=" . }}{{ end }}
{{- end }}
{{- $file -}}
{{- end -}}

{{/*
The value that gives all pods one and the same volume for the persistence file, and nothing if each pod has its own:
that of a StatefulSet, or one that ends with the pod.
*/}}
{{- define "tallygate.sharedVolume" -}}
{{- $shared := "" -}}
{{- if and .Values.persistentVolume.enabled (not .Values.runAsStatefulSet) }}{{ $shared = "persistentVolume" }}{{ end -}}
{{- $file := include "tallygate.file" . -}}
{{- $longest := 0 -}}
{{- range $mount := .Values.extraVolumeMounts }}
{{- $folder := printf "%s/" (trimSuffix "/" $mount.mountPath) }}
{{- if and (hasPrefix $folder $file) (gt (len $folder) $longest) }}
{{- $longest = len $folder }}
{{- $shared = "" }}
{{- range $volume := $.Values.extraVolumes }}
{{- if and (eq $volume.name $mount.name) $volume.persistentVolumeClaim }}
{{- $shared = printf "extraVolumes (%s)" $volume.name }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- $shared -}}
{{- end -}}
