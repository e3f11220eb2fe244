from .app import create_app as create_app
from .app import serve_studio as serve_studio
