@echo off
rem Sets up Luthier beside this file and runs it.
setlocal
cd /d "%~dp0"
if not exist .venv\Scripts\python.exe (
  where py >nul 2>nul && (py -3 -m venv .venv) || (python -m venv .venv)
  if errorlevel 1 (
    echo Luthier needs Python 3.11 or newer. Install it, tick "Add Python to PATH", and run this again.
    exit /b 1
  )
)
.venv\Scripts\python.exe -c "import sys; raise SystemExit(sys.version_info[:2] < (3, 11))"
if errorlevel 1 (
  echo Luthier needs Python 3.11 or newer. Install it, delete the folder .venv and run this again.
  exit /b 1
)
fc /b requirements.txt .venv\installed.txt >nul 2>nul
if errorlevel 1 (
  echo Installing what requirements.txt lists. The first time takes some minutes.
  .venv\Scripts\python.exe -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
  if errorlevel 1 (
    echo The packages could not be installed; the lines above say why. Run this again.
    exit /b 1
  )
  copy /y requirements.txt .venv\installed.txt >nul
)
.venv\Scripts\python.exe -m core.launch %*
