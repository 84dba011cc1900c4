{{/*
A setting of the table persistence, from wherever it is given: flags, environment, tallygate.config. (list ROOT KEY).
A variable with valueFrom counts as set.
*/}}
{{- define "tallygate.persistence" -}}
{{- $root := index . 0 -}}
{{- $key := index . 1 -}}
{{- $value := dig "persistence" $key "" (($root.Values.tallygate).config | default dict) -}}
{{- $variable := printf "TALLYGATE_PERSISTENCE__%s" (upper $key) -}}
{{- range $root.Values.extraVars }}
{{- if eq .name $variable }}{{ $value = .value | default (ternary $variable "" (hasKey . "valueFrom")) }}{{ end }}
{{- end }}
{{- $flag := printf "--persistence.%s" $key -}}
{{- $next := false -}}
{{- range $root.Values.extraArgs }}
{{- if $next }}{{ $value = toString . }}{{ end }}
{{- $next = eq (toString .) $flag }}
{{- if hasPrefix (printf "%s=" $flag) (toString .) }}{{ $value = trimPrefix (printf "%s=" $flag) . }}{{ end }}
{{- end }}
{{- $value -}}
{{- end -}}

{{/* The persistence file. */}}
{{- define "tallygate.file" -}}
{{- include "tallygate.persistence" (list . "file") -}}
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
